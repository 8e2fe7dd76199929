/**
 * A loaded model: commands to the kernel threads, and recurrent states as slots behind the weights. The calling thread
 * is the first of the threads; a command returns when all have finished. It samples nothing and keeps no tokens.
 */

import type { Clock, Thread } from '../../engine-environment.ts'
import { EngineError } from '../../errors.ts'
import { bytesPerState, type ModelConfig } from '../../model/config.ts'
import { ternaryWeightsPerToken } from '../../model/tensors.ts'
import type { BackendCapabilities, Measurable, RunnerCapabilities, RunnerMemory, WantedLogits } from '../backend.ts'
import type { RunnerDevice } from '../device-runner.ts'
import { ALL_OPS } from '../ops.ts'
import * as layout from './kernels/memory-layout.ts'
import { type KernelExports, MAX_MEMORY_BYTES, PAGE_BYTES, paddedRows } from './kernels.ts'
import { MAX_DECODE_BATCH, type ModelMemory } from './model-memory.ts'
import { ThreadChoice } from './thread-choice.ts'

const LOGITS = { none: layout.LOGITS_NONE, last: layout.LOGITS_LAST, all: layout.LOGITS_ALL } as const

export const WASM_CAPABILITIES: BackendCapabilities = { numericMode: 'float32', arithmetic: 'definition', ops: ALL_OPS }

/** Bytes a millisecond: a copy within main memory, slowly. */
const COPY_BYTES_PER_MS = 1e6

/** A slot is the address of a state. */
export class WasmDevice implements RunnerDevice<number>, Measurable {
  readonly config: ModelConfig
  readonly capabilities: RunnerCapabilities
  readonly measurable = this
  private readonly memoryObject: WebAssembly.Memory
  private readonly kernels: KernelExports
  private readonly plan: ModelMemory
  private readonly threads: Thread[]
  /** null: every command runs on all threads. */
  private readonly threadChoice: ThreadChoice | null
  private readonly clock: Clock
  /** The header as words: the command goes here. */
  private readonly header: Int32Array
  /** [V] */
  private readonly logits: Float32Array
  private readonly slotBytes: number
  private readonly freeSlots: number[] = []
  private liveSlots = 0
  /** Where the next slot goes when none is free. */
  private end: number
  /** Where `logitsOf` puts its input. */
  private hiddenRow: number | null = null
  failure: EngineError | null = null

  constructor(
    config: ModelConfig,
    memory: WebAssembly.Memory,
    kernels: KernelExports,
    plan: ModelMemory,
    threads: Thread[],
    clock: Clock,
    adjustsThreads: boolean,
  ) {
    this.config = config
    this.memoryObject = memory
    this.kernels = kernels
    this.plan = plan
    this.threads = threads
    this.clock = clock
    this.threadChoice = adjustsThreads ? new ThreadChoice(1 + threads.length) : null
    this.header = new Int32Array(memory.buffer, 0, layout.HEADER_BYTES / 4)
    this.logits = new Float32Array(memory.buffer, plan.scratch.logits, config.vocabularySize)
    this.slotBytes = Math.ceil(bytesPerState(config) / 64) * 64
    this.end = plan.totalBytes
    this.capabilities = {
      ...WASM_CAPABILITIES,
      statesDieWithDevice: false,
      residentStates: Number.POSITIVE_INFINITY,
      batch: MAX_DECODE_BATCH,
      samples: null,
      chunkTokens: () => plan.chunkTokens,
      memoryPlace: 'system',
      copyCostMs: this.slotBytes / COPY_BYTES_PER_MS,
    }
  }

  createSlot(): number {
    const address = this.freeSlots.pop() ?? this.grow(this.slotBytes)
    this.slotFloats(address).fill(0)
    this.liveSlots++
    return address
  }

  freeSlot(address: number): void {
    this.freeSlots.push(address)
    this.liveSlots--
  }

  copySlot(from: number, to: number): void {
    this.slotFloats(to).set(this.slotFloats(from))
  }

  readSlot(address: number): Float32Array {
    const values = new Float32Array(this.config.layerCount * this.config.stateWidth)
    values.set(this.slotFloats(address))
    return values
  }

  writeSlot(address: number, values: Float32Array): void {
    this.slotFloats(address).set(values)
  }

  readChunk(address: number, tokens: ArrayLike<number>, want: WantedLogits): Float32Array | null {
    this.runChunk(tokens, new Array<number>(tokens.length).fill(address), want)
    if (want === 'none') return null
    return want === 'last' ? this.logits : this.copyLogits(tokens.length)
  }

  decodeBatch(addresses: readonly number[], tokens: readonly number[]): Float32Array[] {
    return tokens.length === 1 ? [this.decode(addresses[0], tokens[0])] : this.decodeTogether(addresses, tokens)
  }

  private decode(address: number, token: number): Float32Array {
    this.header[layout.COMMAND_COUNT / 4] = token
    this.header[layout.COMMAND_STATE / 4] = address
    const { threadChoice } = this
    if (threadChoice === null) {
      this.run(layout.COMMAND_DECODE)
    } else {
      const startMs = this.clock.nowMs()
      this.run(layout.COMMAND_DECODE, threadChoice.threads)
      threadChoice.stepTook(this.clock.nowMs() - startMs)
    }
    return this.logits
  }

  /** A chunk of the prefill kernels in which every token has a state of its own. */
  private decodeTogether(addresses: readonly number[], tokens: readonly number[]): Float32Array[] {
    this.runChunk(tokens, addresses, 'all', this.threadChoice?.threads)
    const { vocabularySize } = this.config
    const rowBytes = paddedRows(vocabularySize) * 4
    const { logits } = this.plan.scratch
    return tokens.map((_, t) => new Float32Array(this.memoryObject.buffer, logits + t * rowBytes, vocabularySize))
  }

  /** The logits [V], a view until the next call, of a last hidden state [D]: for a device loaded without layers. */
  logitsOf(hidden: Float32Array): Float32Array {
    this.hiddenRow ??= this.grow(Math.ceil(hidden.byteLength / 64) * 64)
    new Float32Array(this.memoryObject.buffer, this.hiddenRow, hidden.length).set(hidden)
    // An embedding of one row, which is token 0.
    this.header[layout.MODEL_EMBEDDING / 4] = this.hiddenRow
    this.header[layout.MODEL_EMBEDDING_TYPE / 4] = layout.EMBEDDING_F32
    return this.decode(this.end, 0)
  }

  memory(): RunnerMemory {
    return {
      weightBytes: this.plan.weightBytes,
      bytesOfAllStates: this.liveSlots * this.slotBytes,
      scratchBytes: this.plan.scratchBytes,
    }
  }

  async dispose(): Promise<void> {
    if (this.failure === null) {
      this.header[layout.THREAD_COUNT / 4] = 1 + this.threads.length
      this.header[layout.COMMAND / 4] = layout.COMMAND_EXIT
      this.kernels.runCommand()
    }
    await Promise.all(this.threads.map(thread => thread.terminate()))
  }

  /** Reads all weights `passes` times on all threads and does nothing with them; the bytes read. For benchmarks. */
  readWeights(passes: number): number {
    const bytes = Math.floor(this.bytesReadPerToken / 256) * 256
    this.header[layout.COMMAND_COUNT / 4] = passes
    this.header[layout.COMMAND_ADDRESS / 4] = this.plan.weights.start
    this.header[layout.COMMAND_BYTES / 4] = bytes
    this.run(layout.COMMAND_READ_MEMORY)
    return bytes * passes
  }

  /**
   * Only the matrix products of one decode step (1 token) or of a prefill chunk without the head; the multiply-adds done.
   * For benchmarks.
   */
  runProducts(tokens: number): number {
    this.header[layout.COMMAND_COUNT / 4] = tokens
    this.run(tokens === 1 ? layout.COMMAND_GEMV_ONLY : layout.COMMAND_GEMM_ONLY)
    const weights = ternaryWeightsPerToken(this.config)
    return tokens === 1 ? weights : tokens * (weights - this.config.vocabularySize * this.config.hiddenSize)
  }

  /** Everything that a decode step reads: all weights but those of other tokens' embeddings. */
  get bytesReadPerToken(): number {
    return this.plan.weightBytes - this.plan.weights.start
  }

  private runChunk(
    tokens: ArrayLike<number>,
    states: readonly number[],
    logits: keyof typeof LOGITS,
    threads?: number,
  ): void {
    const { tokenIds, tokenStates } = this.plan.scratch
    new Int32Array(this.memoryObject.buffer, tokenIds, tokens.length).set(tokens)
    new Int32Array(this.memoryObject.buffer, tokenStates, tokens.length).set(states)
    this.header[layout.COMMAND_COUNT / 4] = tokens.length
    this.header[layout.COMMAND_LOGITS / 4] = LOGITS[logits]
    this.run(layout.COMMAND_PREFILL, threads)
  }

  private run(command: number, threads = 1 + this.threads.length): void {
    this.header[layout.THREAD_COUNT / 4] = threads
    this.header[layout.COMMAND / 4] = command
    try {
      this.kernels.runCommand()
    } catch (cause) {
      const timedOut = this.header[layout.FAILURE / 4] === layout.FAILURE_TIMEOUT
      this.failure = new EngineError('backend-failed', 'The WebAssembly engine failed in mid-computation.', {
        actual: timedOut ? 'a thread did not answer in time' : String(cause),
        remedy: 'Load the model again; if it happens again, use fewer threads.',
        cause,
      })
      Atomics.store(this.header, layout.FAILURE / 4, this.header[layout.FAILURE / 4] || layout.FAILURE_TRAP)
      for (let thread = 1; thread <= this.threads.length; thread++) {
        Atomics.notify(this.header, (layout.THREAD_LINES + thread * layout.THREAD_LINE_BYTES) / 4)
      }
      Atomics.notify(this.header, layout.BARRIER_GENERATION / 4)
      throw this.failure
    }
  }

  private grow(bytes: number): number {
    const address = this.end
    const missing = address + bytes - this.memoryObject.buffer.byteLength
    if (missing > 0) {
      try {
        if (address + bytes > MAX_MEMORY_BYTES) throw new RangeError('32-bit addresses are used up')
        this.memoryObject.grow(Math.ceil(missing / PAGE_BYTES))
      } catch (cause) {
        throw new EngineError('out-of-memory', 'There is no memory for another conversation.', {
          expected: `${bytes} bytes`,
          actual: `${this.liveSlots} conversations are open`,
          remedy: 'Close some conversations.',
          cause,
        })
      }
    }
    this.end = address + bytes
    return address
  }

  private slotFloats(address: number): Float32Array {
    return new Float32Array(this.memoryObject.buffer, address, this.config.layerCount * this.config.stateWidth)
  }

  /** [count, V] without the padding of rows. */
  private copyLogits(count: number): Float32Array {
    const { vocabularySize } = this.config
    const row = paddedRows(vocabularySize)
    const padded = new Float32Array(this.memoryObject.buffer, this.plan.scratch.logits, count * row)
    const logits = new Float32Array(count * vocabularySize)
    for (let t = 0; t < count; t++) {
      logits.set(padded.subarray(t * row, t * row + vocabularySize), t * vocabularySize)
    }
    return logits
  }
}
