/**
 * A runtime that refuses Dawn's external array buffers, as Electron's own processes do: every read from the device throws.
 * Then the choice falls on WASM, and says why.
 */
import { afterEach, describe, expect, it, vi } from 'vitest'
import { probeDecode } from '../../engine/decode-probe.ts'
import { EngineError } from '../../engine/errors.ts'
import { type BackendMakers, chooseBackend, loadChosen } from '../../main/engine-process/backend-choice.ts'
import { nodeEngineEnvironment } from '../../main/engine-process/engine-environment.ts'
import { createBackend } from '../../main/engine-process/node-backends.ts'
import { convertTinyCase } from '../golden/golden-data.ts'
import { createTestWebGpu, noWebGpuReason, openTestDevice } from '../webgpu-backend.ts'

const MESSAGE = 'External buffers are not allowed'

/** From now on, every mapped read of this process throws what Electron throws. */
async function refuseBuffers(): Promise<void> {
  const device = await openTestDevice()
  const buffer = device.createBuffer({ size: 16, usage: 9 })
  vi.spyOn(Object.getPrototypeOf(buffer), 'getMappedRange').mockImplementation(() => {
    throw new Error(MESSAGE)
  })
  device.destroy()
}

/** `refused`: from the creation of the backend, or only from the probe on. */
const makers = (refused: 'from the start' | 'in the probe'): BackendMakers => ({
  cpu: (choice, threads) => createBackend(choice, threads),
  gpu: async () => {
    if (refused === 'from the start') await refuseBuffers()
    const made = await createTestWebGpu()
    // The software adapter plays a real one; else it would not even be probed.
    return { ...made, adapter: { ...made.adapter, isSoftware: false } }
  },
  mayHaveGpu: () => true,
  probe: async (backend, source) => {
    if (backend.info.name === 'webgpu' && refused === 'in the probe') await refuseBuffers()
    return probeDecode(backend, source, nodeEngineEnvironment.clock)
  },
})

afterEach(() => vi.restoreAllMocks())

describe.skipIf(noWebGpuReason !== null)(
  `external buffers that are refused${noWebGpuReason === null ? '' : ` (${noWebGpuReason})`}`,
  () => {
    it.each(['from the start', 'in the probe'] as const)(
      '%s: the model runs on WASM, with the reason',
      async refused => {
        const file = await convertTinyCase('tiny-f32', 'tq2_0')
        const options = { signal: new AbortController().signal, onProgress: () => {} }
        const chosen = await loadChosen(file, { backend: 'auto', threads: 1 }, options, makers(refused))
        expect(chosen.model.backend.name).toBe('wasm')
        expect(chosen.model.backend.description).toContain('not the graphics processor')
        expect(chosen.model.backend.description).toContain(MESSAGE)
        await chosen.dispose()
        await file.close()
      },
    )

    it('asked for by name, it is an error of the backend, not of Tern', async () => {
      const file = await convertTinyCase('tiny-f32', 'tq2_0')
      const failed = chooseBackend(file, { backend: 'webgpu' }, makers('from the start'))
      await expect(failed).rejects.toThrow(EngineError)
      await expect(failed).rejects.toMatchObject({ code: expect.stringMatching(/^backend-/) })
      await file.close()
    })
  },
)
