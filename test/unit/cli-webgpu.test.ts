/** `tern` on a software graphics processor, as users start it. */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { mayHaveGraphicsProcessor } from '../../main/engine-process/webgpu-device.ts'
import goldens from '../golden/data/tern-98m-v2/golden.json' with { type: 'json' }
import { chooseSoftwareAdapter, noWebGpuReason } from '../webgpu-backend.ts'

const launcher = fileURLToPath(new URL('../../main/launcher/tern.mjs', import.meta.url))
if (noWebGpuReason === null) chooseSoftwareAdapter()

/** The driver prints to stderr what it likes. */
function tern(args: string[]): Promise<{ code: number | null; stdout: string }> {
  const child = spawn(process.execPath, [launcher, ...args], { stdio: ['ignore', 'pipe', 'ignore'] })
  let stdout = ''
  child.stdout.setEncoding('utf8').on('data', text => {
    stdout += text
  })
  return new Promise(resolve => child.once('close', code => resolve({ code, stdout })))
}

async function json(args: string[], code = 0) {
  const ended = await tern([...args, '--json'])
  expect(ended.code).toBe(code)
  return JSON.parse(ended.stdout)
}

const PROMPT = ['--greedy', '-p', goldens[0]!.prompt.match(/<\|user\|>\n([^<]*)/)![1]!]

describe.skipIf(noWebGpuReason !== null)('tern with WebGPU', () => {
  it('writes the reply of the CPU, from memory of the GPU', async () => {
    const reply = await json(['run', '--backend', 'webgpu', ...PROMPT])
    expect(reply).toMatchObject({
      text: goldens[0]!.greedy,
      backend: 'webgpu',
      backends: ['webgpu'],
      memory: { place: 'gpu' },
    })
    expect(reply.memory.weightBytes).toBeGreaterThan(20e6)
  })

  it('moves a reply to the other backend, either way', async () => {
    for (const backend of ['webgpu', 'wasm']) {
      const reply = await json(['run', '--backend', backend, '--move-at', '4', ...PROMPT])
      expect(reply.text).toBe(goldens[0]!.greedy)
      expect(reply.backends).toEqual(backend === 'webgpu' ? ['webgpu', 'wasm'] : ['wasm', 'webgpu'])
      expect(reply.memory.place).toBe(backend === 'wasm' ? 'gpu' : 'system')
    }
  })

  it('answers prompts with the words of the CPU, several conversations at a time', async () => {
    const file = join(mkdtempSync(join(tmpdir(), 'tern-prompts-')), 'prompts.json')
    const rules = { category: 'short', must: null, mustNot: null, words: [1, 40] }
    const turns = [['What is 7 + 5?'], ['I have a cat called Luna.', 'What is my cat called?'], ['Hi there!']]
    writeFileSync(file, JSON.stringify({ about: '', prompts: turns.map(turns => ({ ...rules, turns })) }))
    const [onGpu, onCpu] = [
      await json(['eval', '--prompts', file, '--backend', 'webgpu']),
      await json(['eval', '--prompts', file, '--backend', 'wasm']),
    ]
    rmSync(dirname(file), { recursive: true })
    expect(onGpu).toMatchObject({ passed: 3, backend: 'webgpu', answers: onCpu.answers })
  })

  it('chooses an adapter by a part of its name, and lists the names when there is none', async () => {
    const { adapters } = await json(['info'])
    expect(adapters).toMatchObject([{ isSoftware: true }])
    const part = adapters[0].name.slice(0, 5).toUpperCase()
    const reply = await json(['run', '--backend', 'webgpu', '--adapter', part, '--max-tokens', '1', ...PROMPT])
    expect(reply.kernel).toBe(adapters[0].name)
    const { error } = await json(['run', '--backend', 'webgpu', '--adapter', 'no such card', ...PROMPT], 1)
    expect(error).toMatchObject({ code: 'backend-unavailable', actual: adapters[0].name, remedy: expect.any(String) })
  })

  it('refuses a model that may take less memory than it needs, with the figures', async () => {
    const { error } = await json(['run', '--backend', 'webgpu', '--gpu-memory', '10', ...PROMPT], 1)
    expect(error).toMatchObject({ code: 'out-of-memory', expected: expect.stringMatching(/MB/), actual: '10 MB free' })
  })
})

describe('tern selftest', () => {
  it('holds the CPU against the reference', async () => {
    const report = await json(['selftest', '--backend', 'wasm', '--threads', '2'])
    expect(report).toMatchObject({ passed: true, backend: { name: 'wasm' } })
    expect(report.checks.map(({ name }: { name: string }) => name)).toEqual(
      expect.arrayContaining(['bitLinear', 'greedy tokens', 'recurrent state after them', 'two runs are identical']),
    )
    expect(report.checks.flatMap(({ failures }: { failures: string[] }) => failures)).toEqual([])
  })
})

it.skipIf(mayHaveGraphicsProcessor())('without any adapter, nothing of the driver reaches the terminal', async () => {
  const env = { ...process.env, VK_DRIVER_FILES: '/nonexistent', VK_ICD_FILENAMES: '/nonexistent' }
  const child = spawn(process.execPath, [launcher, 'run', '--backend', 'webgpu', '-p', 'x'], { env })
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', text => {
    stderr += text
  })
  const code = await new Promise(resolve => child.once('close', resolve))
  expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringMatching(/^tern: There is no graphics processor/) })
})
