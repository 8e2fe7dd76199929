/**
 * What a backend is. Coarse on purpose: one decode step is one call a thread in WASM, one recorded command buffer in
 * WebGPU, one frame to an FPGA. The reference backend is the definition that the others are held against.
 */
import type { EngineError } from '../errors.ts'
import type { CancelSignal, MaybePromise } from '../host.ts'
import type { ModelConfig } from '../model/config.ts'
import type { ModelSource } from '../model/source.ts'
import type { OpTable } from './ops.ts'

export type BackendName = 'reference' | 'wasm' | 'webgpu'

export interface BackendInfo {
  name: BackendName
  /** Which kernels were chosen and why, for people: "relaxed SIMD, 2 threads". */
  description: string
  threads: number
  /** Kernel family: "float64-free TypeScript", "relaxed-simd", "simd", "scalar", an adapter's name. */
  kernel: string
}

export interface Backend {
  readonly info: BackendInfo
  readonly ops: OpTable
  /** Makes this backend's layout of the weights. `onProgress` gets 0..1. Throws `out-of-memory`, `tensor-*`, `cancelled`. */
  load(source: ModelSource, options?: LoadOptions): Promise<Runner>
  dispose(): Promise<void>
}

export interface LoadOptions {
  onProgress?: (fraction: number) => void
  signal?: CancelSignal
}

/** Handle of one sequence's recurrent state inside a runner. Opaque; belongs to the runner that made it. */
export interface RunnerState {
  readonly id: number
}

/** Portable recurrent state: L x E float32, the same for every backend. */
export interface PortableState {
  layerCount: number
  stateWidth: number
  /** [L, E] */
  values: Float32Array
  /** How the numbers were made; a state moves between backends of the same mode. */
  numericMode: 'float32'
}

export interface PrefillOptions {
  /** 'last': logits [1, V] of the last token. 'all': logits [T, V], delivered by `onLogits` chunk by chunk. */
  logits: 'last' | 'all' | 'none'
  onLogits?: (logits: Float32Array, firstToken: number, tokenCount: number) => MaybePromise<void>
  /** Called between chunks with tokens done so far. */
  onProgress?: (tokensDone: number) => MaybePromise<void>
  signal?: CancelSignal
}

export interface RunnerMemory {
  weightBytes: number
  /** All live states. */
  stateBytes: number
  scratchBytes: number
  /** All of it is memory of the graphics processor. Left out: the system's. */
  isGpuMemory?: boolean
}

export interface Runner {
  readonly config: ModelConfig
  /** Tokens of a full prefill chunk, where it matters to whoever divides a prompt. */
  readonly chunkTokens?: number
  createState(): RunnerState
  cloneState(state: RunnerState): RunnerState
  disposeState(state: RunnerState): void
  /** Copies out. */
  exportState(state: RunnerState): MaybePromise<PortableState>
  /** Copies in. Throws `state-mismatch`. */
  importState(state: RunnerState, portable: PortableState): MaybePromise<void>
  /**
   * Feeds T tokens in chunks bounded in time and scratch memory. Returns the logits [V] of the last token for 'last',
   * else null. The array is a view that the next call on this runner overwrites.
   * Throws `token-out-of-range`, `cancelled` (the state is then undefined: restore or dispose it).
   */
  prefill(state: RunnerState, tokens: ArrayLike<number>, options: PrefillOptions): Promise<Float32Array | null>
  /** Feeds one token; logits [V] of the next one, a view that the next call on this runner overwrites. */
  decode(state: RunnerState, token: number): MaybePromise<Float32Array>
  /**
   * Optional: feeds one token to each of 1 to `decodeBatchMost` different states in one step, which reads the weights once.
   * Gives for each what `decode` would give, bit for bit; the views end with the next call on this runner. When it throws,
   * no state has changed, or the runner has failed for good.
   */
  decodeBatch?:
    | ((states: readonly RunnerState[], tokens: readonly number[]) => MaybePromise<Float32Array[]>)
    | undefined
  readonly decodeBatchMost?: number
  /**
   * Optional: samples on the device, feeds the sampled token, samples the next, and so on, several tokens ahead of the
   * host. `start` is the token to feed first, or the logits [V] to sample the first token from. Returns how many tokens
   * `onToken` got. The state has then read `start` and all of these but the last, however far the device had run ahead;
   * after 'drop' it lacks the token before the dropped one too (`start` itself, when the first is dropped). 0, and the
   * state is as before, when the device cannot sample the next token: too many are equally likely.
   * Throws `token-out-of-range`, `sampling-invalid`, `logits-not-finite`, `backend-failed`.
   */
  readonly decodeMany?:
    | ((state: RunnerState, start: number | Float32Array, options: DecodeManyOptions) => Promise<number>)
    | undefined
  memory(): RunnerMemory
  /** What ended this runner for good; every call throws it from then on. Left out: cannot happen. */
  readonly failure?: EngineError | null
  /** What made the device unusable (lost, out of memory): every call throws it from then on. Left out: cannot happen. */
  readonly deviceFailure?: EngineError | null
  dispose(): Promise<void>
}

/** Tokens that penalties look back at on a device. */
export const MAX_DEVICE_PENALTY_WINDOW = 4096

/** What a device can sample by itself: everything but logit biases. As in sampling/sampler.ts, in that order. */
export interface DeviceSampling {
  /** 0 is greedy. */
  temperature: number
  /** 0 is off. */
  topK: number
  /** 1 is off. */
  topP: number
  /** 0 is off. */
  minP: number
  /** null: none. */
  penalties: DevicePenalties | null
  /** Same seed, same tokens, on the same device: 32 bits. */
  seed: number
  /** Tokens drawn with this seed before. */
  drawn: number
}

export const GREEDY_ON_DEVICE: DeviceSampling = {
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
  penalties: null,
  seed: 0,
  drawn: 0,
}

export interface DevicePenalties {
  /** 1 is off. */
  repetition: number
  presence: number
  frequency: number
  /** Tokens looked back at, at most MAX_DEVICE_PENALTY_WINDOW; 0: all. */
  window: number
  /** The tokens in the window so far, oldest first. */
  history: ArrayLike<number>
}

/**
 * 'feed': go on with it. 'keep': the end; it is part of the sequence and not fed. 'drop': the end, and no part of it; the
 * token before it is left unfed, so that whoever goes on has something to get logits from.
 */
export type SampledTokenUse = 'feed' | 'keep' | 'drop'

export interface DecodeManyOptions {
  sampling: DeviceSampling
  /** At least 1. */
  maxTokens: number
  /** Gets the sampled tokens in order and says what becomes of each. */
  onToken(token: number): SampledTokenUse
  /** Looked at after each token: that one is then kept. */
  signal?: CancelSignal
}
