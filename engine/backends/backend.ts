/**
 * What a backend is. Coarse on purpose: one decode step is one call a thread in WASM, one recorded command buffer in
 * WebGPU, one frame to an FPGA. The reference backend is the definition that the others are held against.
 */

import type { CancelSignal } from '../engine-environment.ts'
import type { EngineError } from '../errors.ts'
import type { ModelConfig } from '../model/config.ts'
import type { ModelSource } from '../model/source.ts'
import type { OpName, OpTable } from './ops.ts'

export type BackendName = 'reference' | 'wasm' | 'webgpu' | 'fpga'

export interface BackendInfo {
  name: BackendName
  /** Which kernels were chosen and why, for people: "relaxed SIMD, 2 threads". */
  description: string
  threads: number
  /** Kernel family: "relaxed-simd", "simd", "scalar", an adapter's name. */
  kernel: string
}

/** How the numbers of a recurrent state were made: 'tern-fixed-1' is the accelerator's integers (docs/fpga-numerics.md). */
export const NUMERIC_MODES = ['float32', 'tern-fixed-1'] as const
export type NumericMode = (typeof NUMERIC_MODES)[number]

/** What holds for every model on this backend. */
export interface BackendCapabilities {
  numericMode: NumericMode
  /**
   * 'definition': equal to the reference, bit for bit. 'flushes-denormals': so too but for numbers too small to be normal
   * float32, which may become zero. 'own': a numeric mode with a definition of its own.
   */
  arithmetic: 'definition' | 'flushes-denormals' | 'own'
  /** The single operations that it offers: those of `ops`. */
  ops: readonly OpName[]
}

export interface Backend {
  readonly info: BackendInfo
  readonly capabilities: BackendCapabilities
  readonly ops: Partial<OpTable>
  /** Makes this backend's layout of the weights. `onProgress` gets 0..1. Throws `out-of-memory`, `tensor-*`, `cancelled`. */
  load(source: ModelSource, options?: LoadOptions): Promise<Runner>
  dispose(): Promise<void>
}

export interface LoadOptions {
  onProgress?: (fraction: number) => void
  signal?: CancelSignal
}

/** Which logits a chunk is read for: those of its last token [V], of all its tokens [T, V], or none. */
export type WantedLogits = 'none' | 'last' | 'all'

export interface RunnerCapabilities extends BackendCapabilities {
  /** The states are gone with the device, as on a graphics processor; else they live as long as this process. */
  statesDieWithDevice: boolean
  /** States that can be on the device at the same time; Infinity: as many as fit its memory. */
  residentStates: number
  /** Sequences of one decode step, which then reads the weights once for all; 1: one at a time. */
  batch: number
  /** What it can sample by itself, running ahead; null: the logits must come to the CPU. */
  samples: DeviceSamplingLimits | null
  /** Tokens of a full chunk: what a cancel may wait for. */
  chunkTokens(want: WantedLogits): number
  memoryPlace: 'system' | 'gpu' | 'board'
  /** Copying one state out, in milliseconds; about. */
  copyCostMs: number
}

/** Handle of one sequence's recurrent state inside a runner. Opaque; belongs to the runner that made it. */
export interface StateHandle {
  readonly id: number
}

/** Portable recurrent state: L x E float32, the same for every backend. Values of 'tern-fixed-1' are exact in it up to 256. */
export interface PortableState {
  layerCount: number
  stateWidth: number
  /** [L, E] */
  values: Float32Array
  /** How the numbers were made. */
  numericMode: NumericMode
}

export interface RunnerMemory {
  weightBytes: number
  bytesOfAllStates: number
  scratchBytes: number
}

export interface DecodeStep {
  state: StateHandle
  token: number
}

/**
 * A loaded model on a device. One call at a time: a second one while a call runs is a bug of the caller and throws
 * `internal`; the call that runs goes on. What a call has done is known when it resolves, and not before. A call that is
 * refused (`token-out-of-range`, `invalid-argument`, `state-mismatch`, `out-of-memory`, `internal`) changes nothing; after
 * any other error its states are undefined: release them. Arrays of logits are views that end with the next call. Each
 * rule is a test in engine/conformance/runner-rules.ts.
 */
export interface Runner {
  readonly config: ModelConfig
  readonly capabilities: RunnerCapabilities
  /** A state of zeros. Throws `out-of-memory`, also for more than `residentStates`: the others live on. */
  createState(): Promise<StateHandle>
  /** Throws as `createState`. */
  cloneState(state: StateHandle): Promise<StateHandle>
  /** Never throws, at any time, twice too; while a call runs it waits for its end. */
  releaseState(state: StateHandle): void
  /** Copies out. */
  exportState(state: StateHandle): Promise<PortableState>
  /** Copies in; `isExact` says whether the numeric mode is its own. Throws `state-mismatch`. */
  importState(state: StateHandle, portable: PortableState): Promise<{ isExact: boolean }>
  /**
   * Feeds 1 to `chunkTokens(want)` tokens; resolves when the state has read all of them. Logits [V] for 'last', [T, V]
   * for 'all', else null. Throws `token-out-of-range`.
   */
  readChunk(state: StateHandle, tokens: ArrayLike<number>, want: WantedLogits): Promise<Float32Array | null>
  /**
   * Feeds one token to each of 1 to `batch` different states; for each the logits [V] of the next one, equal bit for bit to
   * those of a step alone. Throws `token-out-of-range`.
   */
  decodeBatch(steps: readonly DecodeStep[]): Promise<Float32Array[]>
  /**
   * There exactly when `capabilities.samples`: samples on the device, feeds the sampled token, samples the next, and so on,
   * several tokens ahead of the CPU. `start` is the token to feed first, or the logits [V] to sample the first token from.
   * Returns how many tokens `onToken` got. The state has then read `start` and all of these but the last, however far the
   * device had run ahead; after 'drop' it lacks the token before the dropped one too (`start` itself, when the first is
   * dropped). 0, and the state is as before, when the device cannot sample the next token: too many are equally likely.
   * Throws `token-out-of-range`, `sampling-invalid`, `logits-not-finite`.
   */
  readonly decodeAhead?:
    | ((state: StateHandle, start: number | Float32Array, options: DecodeAheadOptions) => Promise<number>)
    | undefined
  /** Never throws. */
  memory(): RunnerMemory
  /** What ended this runner for good; every call that computes throws this object from then on. */
  readonly failure: EngineError | null
  /** Its kernels alone, where they can be measured. */
  readonly measurable: Measurable | null
  /**
   * Where the device has a clock of its own: the time of each op of a decode step (null), or of a chunk of so many tokens,
   * its dispatches one after another, `repeats` times. Leaves nonsense in scratch, none in states.
   */
  readonly timeOps?: ((tokens: number | null, repeats: number) => Promise<OpTime[] | null>) | undefined
  /** Never rejects. Every call afterwards throws `model-not-loaded`. */
  dispose(): Promise<void>
}

/** Of one op and workgroup count, in one step or chunk. */
export interface OpTime {
  op: string
  dispatches: number
  /** All dispatches together. */
  microseconds: number
}

/** A runner's kernels apart, for benchmarks. */
export interface Measurable {
  /** Weights that a decode step reads. */
  readonly bytesReadPerToken: number
  /** Reads all weights `passes` times on all threads; the bytes read. */
  readWeights(passes: number): number
  /** The matrix products of a decode step (1) or of a prefill chunk; the multiply-adds. */
  runProducts(tokens: number): number
}

/**
 * Embedding and logits of a model, computed by the CPU for a device that computes only what lies between: the hidden state
 * [D] of a token, and the logits [V] of the last hidden state [D]. Throws `token-out-of-range`.
 */
export interface Head {
  embed(token: number): Promise<Float32Array>
  logits(hidden: Float32Array): Promise<Float32Array>
}

/** Tokens that penalties look back at on a device. */
export const MAX_DEVICE_PENALTY_WINDOW = 4096

/** How far a device can sample by itself: never with logit biases. */
export interface DeviceSamplingLimits {
  /** Tokens that penalties may look back at. */
  maxPenaltyWindow: number
}

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

export interface DecodeAheadOptions {
  sampling: DeviceSampling
  /** At least 1. */
  maxTokens: number
  /** Gets the sampled tokens in order and says what becomes of each. */
  onToken(token: number): SampledTokenUse
  /** Looked at after each token: that one is then kept. */
  signal?: CancelSignal
}
