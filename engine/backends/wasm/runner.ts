/**
 * A loaded model: commands to the kernel threads, and recurrent states as slots behind the weights. The calling thread
 * is the first of the threads; a command returns when all have finished. It samples nothing and keeps no tokens.
 */
import { cancelled, EngineError } from '../../errors.ts'
import type { Clock, Thread } from '../../host.ts'
import { type ModelConfig, stateBytes } from '../../model/config.ts'
import { checkStateShape } from '../../model/state-shape.ts'
import { checkTokenIds } from '../../model/token-ids.ts'
import type { PortableState, PrefillOptions, Runner, RunnerMemory, RunnerState } from '../backend.ts'
import * as layout from './kernels/memory-layout.ts'
import { type KernelExports, MAXIMUM_MEMORY_BYTES, PAGE_BYTES, paddedRows } from './kernels.ts'
import { DECODE_BATCH_MOST, type ModelMemory, ternaryWeights } from './model-memory.ts'
import { ThreadChoice } from './thread-choice.ts'

const LOGITS = { none: layout.LOGITS_NONE, last: layout.LOGITS_LAST, all: layout.LOGITS_ALL } as const

export class WasmRunner implements Runner {
  readonly config: ModelConfig
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
  /** Addresses by state id. */
  private readonly slots = new Map<number, number>()
  private readonly freeSlots: number[] = []
  private nextStateId = 1
  /** Where the next slot goes when none is free. */
  private end: number
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
    this.slotBytes = Math.ceil(stateBytes(config) / 64) * 64
    this.end = plan.totalBytes
  }

  createState(): RunnerState {
    this.checkAlive()
    const address = this.freeSlots.pop() ?? this.addSlot()
    this.slotFloats(address).fill(0)
    const id = this.nextStateId++
    this.slots.set(id, address)
    return { id }
  }

  cloneState(state: RunnerState): RunnerState {
    const from = this.addressOf(state)
    const clone = this.createState()
    this.slotFloats(this.addressOf(clone)).set(this.slotFloats(from))
    return clone
  }

  disposeState(state: RunnerState): void {
    const address = this.slots.get(state.id)
    if (address === undefined) return
    this.slots.delete(state.id)
    this.freeSlots.push(address)
  }

  exportState(state: RunnerState): PortableState {
    const { layerCount, stateWidth } = this.config
    const values = new Float32Array(layerCount * stateWidth)
    values.set(this.slotFloats(this.addressOf(state)))
    return { layerCount, stateWidth, values, numericMode: 'float32' }
  }

  importState(state: RunnerState, portable: PortableState): void {
    checkStateShape(this.config, portable)
    this.slotFloats(this.addressOf(state)).set(portable.values)
  }

  async prefill(state: RunnerState, tokens: ArrayLike<number>, options: PrefillOptions): Promise<Float32Array | null> {
    checkTokenIds(tokens, this.config.vocabularySize)
    const total = tokens.length
    for (let first = 0; first < total; ) {
      if (options.signal?.aborted) throw cancelled()
      const count = Math.min(this.plan.chunkTokens, total - first)
      const done = first + count
      // Only now is it known that the state still lives: the last await may have disposed it.
      const address = this.addressOf(state)
      const chunk = Array.from({ length: count }, (_, t) => tokens[first + t])
      const logits = options.logits === 'last' && done < total ? 'none' : options.logits
      this.runChunk(chunk, new Array<number>(count).fill(address), logits)
      if (options.logits === 'all') await options.onLogits?.(this.copyLogits(count), first, count)
      await options.onProgress?.(done)
      first = done
      if (done === total && options.logits === 'last') return this.logits
    }
    return null
  }

  decode(state: RunnerState, token: number): Float32Array {
    const address = this.addressOf(state)
    if (!(Number.isInteger(token) && token >= 0 && token < this.config.vocabularySize)) {
      checkTokenIds([token], this.config.vocabularySize)
    }
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

  readonly decodeBatchMost = DECODE_BATCH_MOST

  /** A chunk of the prefill kernels in which every token has a state of its own. */
  decodeBatch(states: readonly RunnerState[], tokens: readonly number[]): Float32Array[] {
    const addresses = states.map(state => this.addressOf(state))
    checkTokenIds(tokens, this.config.vocabularySize)
    if (new Set(addresses).size !== tokens.length || tokens.length > DECODE_BATCH_MOST) {
      throw new EngineError('invalid-argument', 'These sequences cannot be decoded together.', {
        expected: `at most ${DECODE_BATCH_MOST} different states, a token for each`,
        actual: `${new Set(addresses).size} different states, ${tokens.length} tokens`,
      })
    }
    const threads = this.threadChoice?.threads
    this.runChunk(tokens, addresses, 'all', threads)
    const { vocabularySize } = this.config
    const rowBytes = paddedRows(vocabularySize) * 4
    const { logits } = this.plan.scratch
    return tokens.map((_, t) => new Float32Array(this.memoryObject.buffer, logits + t * rowBytes, vocabularySize))
  }

  memory(): RunnerMemory {
    return {
      weightBytes: this.plan.weightBytes,
      stateBytes: this.slots.size * this.slotBytes,
      scratchBytes: this.plan.scratchBytes,
    }
  }

  async dispose(): Promise<void> {
    if (this.failure === null) {
      this.failure = new EngineError('model-not-loaded', 'The model was unloaded.')
      this.header[layout.THREAD_COUNT / 4] = 1 + this.threads.length
      this.header[layout.COMMAND / 4] = layout.COMMAND_EXIT
      this.kernels.runCommand()
    }
    await Promise.all(this.threads.map(thread => thread.terminate()))
    this.slots.clear()
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
    const weights = ternaryWeights(this.config)
    return tokens === 1 ? weights : tokens * (weights - this.config.vocabularySize * this.config.hiddenSize)
  }

  /** Everything that a decode step reads: all weights but those of other tokens' embeddings. */
  get bytesReadPerToken(): number {
    return this.plan.weightBytes - this.plan.weights.start
  }

  /** Tokens of a full prefill chunk. */
  get chunkTokens(): number {
    return this.plan.chunkTokens
  }

  private runChunk(
    tokens: readonly number[],
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
    this.checkAlive()
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

  private checkAlive(): void {
    if (this.failure !== null) throw this.failure
  }

  private addressOf(state: RunnerState): number {
    this.checkAlive()
    const address = this.slots.get(state.id)
    if (address === undefined) throw new EngineError('internal', `The state ${state.id} was disposed.`)
    return address
  }

  private addSlot(): number {
    const address = this.end
    const missing = address + this.slotBytes - this.memoryObject.buffer.byteLength
    if (missing > 0) {
      try {
        if (address + this.slotBytes > MAXIMUM_MEMORY_BYTES) throw new RangeError('32-bit addresses are used up')
        this.memoryObject.grow(Math.ceil(missing / PAGE_BYTES))
      } catch (cause) {
        throw new EngineError('out-of-memory', 'There is no memory for another conversation.', {
          expected: `${this.slotBytes} bytes`,
          actual: `${this.slots.size} conversations are open`,
          remedy: 'Close some conversations.',
          cause,
        })
      }
    }
    this.end = address + this.slotBytes
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
