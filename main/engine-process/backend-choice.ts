/**
 * Which backend a model runs on: what the user asked for, or the one that is fastest here by a short measurement, with the
 * reason in its description. A model on a graphics processor that is lost goes on on the CPU. See docs/adr/004-webgpu.md.
 */
import type { BackendRequest } from '../../contract/words/backend.ts'
import type { Backend, BackendName } from '../../engine/backends/backend.ts'
import { probeDecode } from '../../engine/decode-probe.ts'
import { type LoadedModel, loadModel } from '../../engine/engine.ts'
import type { CancelSignal } from '../../engine/engine-environment.ts'
import { EngineError } from '../../engine/errors.ts'
import type { GgufModel } from '../../engine/formats/gguf.ts'
import type { ModelSource } from '../../engine/model/source.ts'
import type { NextBackend } from '../../engine/sequences.ts'
import { nodeEngineEnvironment } from './engine-environment.ts'
import { type CpuBackendName, createBackend } from './node-backends.ts'
import { ThreadStartError } from './node-threads.ts'
import {
  createNodeWebGpuBackend,
  mayHaveGraphicsProcessor,
  type NodeWebGpuBackend,
  refuseWithoutAdapter,
} from './webgpu-device.ts'

/** How backends come to be: those of this machine, others in tests. */
export interface BackendMakers {
  cpu(choice: 'auto' | CpuBackendName, threads: number | undefined): Promise<Backend>
  gpu(request: BackendRequest): Promise<NodeWebGpuBackend>
  /** false: not worth asking. */
  mayHaveGpu(): boolean
  probe(backend: Backend, source: ModelSource): Promise<number>
}

const NODE_MAKERS: BackendMakers = {
  cpu: (choice, threads) => createBackend(choice, threads),
  async gpu({ adapter, gpuMemoryBytes }) {
    await refuseWithoutAdapter()
    return createNodeWebGpuBackend({
      ...(adapter === undefined ? {} : { adapter }),
      ...(gpuMemoryBytes === undefined ? {} : { memoryBudgetBytes: gpuMemoryBytes }),
    })
  },
  mayHaveGpu: mayHaveGraphicsProcessor,
  probe: (backend, source) => probeDecode(backend, source, nodeEngineEnvironment.clock),
}

/** Throws `backend-unavailable` and `backend-failed` for what was asked for by name; 'auto' always finds one. */
export async function chooseBackend(
  source: ModelSource,
  request: BackendRequest,
  makers: BackendMakers = NODE_MAKERS,
): Promise<Backend> {
  const { backend: choice, threads } = request
  if (choice === 'webgpu') return (await makers.gpu(request)).backend
  if (choice !== 'auto') return makers.cpu(choice, threads)
  if (!makers.mayHaveGpu()) return withNote(await makers.cpu('auto', threads), 'there is no graphics processor')
  let found: NodeWebGpuBackend
  try {
    found = await makers.gpu(request)
  } catch (error) {
    return withNote(await makers.cpu('auto', threads), noGpu(refusal(error)))
  }
  const { backend: gpu, adapter } = found
  let cpu: Backend | null = null
  try {
    if (adapter.isSoftware) throw new EngineError('backend-unavailable', `${adapter.name} is a software adapter.`)
    gpu.checkFits(source)
    const gpuRate = await makers.probe(gpu, source)
    cpu = await makers.cpu('auto', threads)
    const cpuRate = await makers.probe(cpu, source)
    if (gpuRate <= cpuRate) {
      throw new EngineError('backend-unavailable', `${adapter.name} is slower here.`, {
        actual: `measured ${ratio(gpuRate / cpuRate)} times the CPU's speed`,
      })
    }
    await cpu.dispose()
    return withNote(gpu, `measured ${ratio(gpuRate / cpuRate)} times the CPU's speed`)
  } catch (error) {
    await gpu.dispose()
    const reason = noGpu(refusal(error))
    return withNote(cpu ?? (await makers.cpu('auto', threads)), reason)
  }
}

/**
 * The backends that 'auto' may mean, the most wanted first. Whatever leaves one of them (a model that does not load there, a
 * device that is lost) goes on to the next; so does a model that is asked to move without a name, and the last goes to the
 * first.
 */
const CANDIDATES = ['webgpu', 'wasm'] as const satisfies readonly BackendName[]
type Candidate = (typeof CANDIDATES)[number]

const candidatesAfter = (name: BackendName): readonly Candidate[] =>
  CANDIDATES.slice((CANDIDATES as readonly BackendName[]).indexOf(name) + 1)

async function makeCandidate(name: Candidate, request: BackendRequest, makers: BackendMakers): Promise<Backend> {
  return name === 'webgpu' ? (await makers.gpu(request)).backend : makers.cpu('auto', request.threads)
}

export interface ChosenModel {
  readonly model: LoadedModel
  /** Takes the model to another backend; 'auto' is the next candidate. Throws what loading throws. */
  moveTo(request: BackendRequest): Promise<void>
  /** Ends all sessions and frees the backends. */
  dispose(): Promise<void>
}

/** Loads a model on the backend that `chooseBackend` finds. Throws what loading throws. */
export async function loadChosen(
  file: GgufModel,
  request: BackendRequest,
  options: { signal: CancelSignal; onProgress(fraction: number): void },
  makers: BackendMakers = NODE_MAKERS,
): Promise<ChosenModel> {
  /** All that have to be freed. */
  const backends = new Set<Backend>()
  const free = async (backend: Backend): Promise<void> => {
    backends.delete(backend)
    await backend.dispose()
  }
  let present: BackendName
  const nextBackend: NextBackend = async failure => {
    const [next] = candidatesAfter(present)
    if (next === undefined) throw new EngineError('backend-unavailable', 'There is no other backend here.')
    const backend = withNote(await makeCandidate(next, request, makers), failure.message)
    backends.add(backend)
    return backend
  }
  const load = async (backend: Backend): Promise<LoadedModel> => {
    backends.add(backend)
    present = backend.info.name
    try {
      return await loadModel(file, backend, nodeEngineEnvironment, { ...options, nextBackend })
    } catch (error) {
      await free(backend)
      if (error instanceof ThreadStartError && request.threads === undefined) {
        const alone = await makers.cpu('wasm', 1)
        return load(withNote(alone, 'more threads could not be started'))
      }
      const [next] = request.backend === 'auto' ? candidatesAfter(present) : []
      if (next === undefined) throw error
      return load(withNote(await makeCandidate(next, request, makers), noGpu(refusal(error))))
    }
  }
  const model = await load(await chooseBackend(file, request, makers))
  model.onEvent(event => {
    if (event.kind !== 'moved') return
    present = event.backend.name
    for (const earlier of [...backends]) {
      if (earlier.info !== event.backend) void free(earlier).catch(() => {})
    }
  })
  return {
    model,
    async moveTo(target) {
      const next = candidatesAfter(model.backend.name)[0] ?? CANDIDATES[0]
      const backend = await chooseBackend(
        file,
        { ...target, backend: target.backend === 'auto' ? next : target.backend },
        makers,
      )
      backends.add(backend)
      try {
        await model.move(backend)
      } catch (error) {
        await free(backend)
        throw error
      }
    },
    async dispose() {
      await model.dispose()
      await Promise.all([...backends].map(backend => backend.dispose()))
    },
  }
}

/** The same backend with a reason in its description. */
const withNote = (backend: Backend, note: string): Backend => ({
  ...backend,
  info: { ...backend.info, description: `${backend.info.description}; ${note}` },
})

const noGpu = (reason: string): string => `not the graphics processor: ${reason}`

/** Why the graphics processor is out of the question, in one sentence; other errors are thrown on. */
function refusal(error: unknown): string {
  const codes = ['backend-unavailable', 'backend-failed', 'device-lost', 'out-of-memory']
  if (!(error instanceof EngineError) || !codes.includes(error.code)) throw error
  const figures = [
    ...(error.expected === undefined ? [] : [`needs ${error.expected}`]),
    ...(error.actual === undefined ? [] : [error.actual.split('\n', 1)[0]!]),
  ]
  return `${error.message.replace(/\.$/, '')}${figures.length > 0 ? ` (${figures.join(', ')})` : ''}`
}

const ratio = (value: number): string => value.toFixed(value < 10 ? 1 : 0)
