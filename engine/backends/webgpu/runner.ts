/**
 * A loaded model on the GPU: states as buffers, prefill in chunks, decode as one command buffer, and decoding several
 * tokens ahead with sampling on the device. Computes nothing itself.
 */
import { EngineError } from '../../errors.ts'
import { bytesPerState, type ModelConfig } from '../../model/config.ts'
import type { ModelSource } from '../../model/source.ts'
import {
  type BackendCapabilities,
  type DecodeAheadOptions,
  type DeviceSampling,
  type LoadOptions,
  MAX_DEVICE_PENALTY_WINDOW,
  type OpTime,
  type Runner,
  type RunnerCapabilities,
  type RunnerMemory,
  type WantedLogits,
} from '../backend.ts'
import { DeviceRunner, type RunnerDevice } from '../device-runner.ts'
import { ALL_OPS } from '../ops.ts'
import {
  type CommandLists,
  logitsTokens,
  makeCommandLists,
  makeScratch,
  type PrefillCommand,
  type Scratch,
  scratchSizes,
} from './command-lists.ts'
import { ASK_CPU, checkDeviceSampling, samplingWords } from './device-sampling.ts'
import { type Command, type Gpu, STORAGE, USAGE } from './gpu.ts'
import { padded, RING } from './kernel-shapes.ts'
import { loadWeights, type WeightBuffers, weightBytesOf } from './weights.ts'

export interface RunnerOptions {
  /** Tokens of a prefill chunk: what a cancel may wait for, and what scratch memory is made for. */
  chunkTokens: number
  /** Tokens of one submission when the device runs ahead, and submissions under way: together less than RING - 1. */
  batchTokens: number
  batchesAhead: number
  /** What the GPU may give to this model; null: unknown. */
  memoryBudgetBytes: number | null
}

export const WEBGPU_CAPABILITIES: BackendCapabilities = {
  numericMode: 'float32',
  arithmetic: 'flushes-denormals',
  ops: ALL_OPS,
}

/** Copying a state out waits for the device, and then for the bus. */
const COPY_WAIT_MS = 0.5
const COPY_BYTES_PER_MS = 1e6

/** Throws `out-of-memory`, with the figures. */
export function checkFits(source: ModelSource, { chunkTokens, memoryBudgetBytes }: RunnerOptions): void {
  const scratch = Object.values(scratchSizes(source.config, chunkTokens)).reduce((sum, bytes) => sum + bytes, 0)
  const neededBytes = weightBytesOf(source) + scratch
  if (memoryBudgetBytes === null || neededBytes <= memoryBudgetBytes) return
  throw new EngineError('out-of-memory', 'The model does not fit into the memory of the graphics processor.', {
    expected: `${Math.ceil(neededBytes / 1e6)} MB`,
    actual: `${Math.floor(memoryBudgetBytes / 1e6)} MB free`,
    remedy: 'Choose a smaller model, close other programs that use it, or use the CPU.',
  })
}

/** Throws `out-of-memory` before anything is allocated when the model does not fit, `tensor-*` and others. */
export async function loadRunner(
  gpu: Gpu,
  source: ModelSource,
  runnerOptions: RunnerOptions,
  options: LoadOptions,
): Promise<Runner> {
  const { config } = source
  checkFits(source, runnerOptions)
  const made: GPUBuffer[] = []
  try {
    return await gpu.checked(async () => {
      const weights = await loadWeights(gpu, source, options, made)
      const scratch = makeScratch(gpu, config, runnerOptions.chunkTokens, made)
      const lists = await makeCommandLists(gpu, config, weights, scratch, runnerOptions.chunkTokens)
      return new DeviceRunner(new WebGpuDevice(config, { gpu, weights, scratch, lists, options: runnerOptions, made }))
    })
  } catch (error) {
    for (const buffer of made) buffer.destroy()
    throw error
  }
}

interface DeviceParts {
  readonly gpu: Gpu
  readonly weights: WeightBuffers
  readonly scratch: Scratch
  readonly lists: CommandLists
  readonly options: RunnerOptions
  /** Every buffer there is. */
  readonly made: GPUBuffer[]
}

/** A slot is a buffer of a state [L, E]. */
class WebGpuDevice implements RunnerDevice<GPUBuffer> {
  readonly config: ModelConfig
  readonly capabilities: RunnerCapabilities
  readonly measurable = null
  private readonly parts: DeviceParts
  private readonly logitsStaging: GPUBuffer
  private readonly idleTokenStaging: GPUBuffer[] = []

  constructor(config: ModelConfig, parts: DeviceParts) {
    const { gpu, options, made } = parts
    this.config = config
    this.parts = parts
    this.logitsStaging = gpu.stagingBuffer(config.vocabularySize * 4)
    made.push(this.logitsStaging)
    const { chunkTokens } = options
    this.capabilities = {
      ...WEBGPU_CAPABILITIES,
      statesDieWithDevice: true,
      residentStates: Number.POSITIVE_INFINITY,
      batch: 1,
      samples: { maxPenaltyWindow: MAX_DEVICE_PENALTY_WINDOW },
      chunkTokens: want => (want === 'all' ? logitsTokens(config, chunkTokens) : chunkTokens),
      memoryPlace: 'gpu',
      copyCostMs: COPY_WAIT_MS + bytesPerState(config) / COPY_BYTES_PER_MS,
    }
  }

  get failure(): EngineError | null {
    return this.parts.gpu.failure
  }

  /** A buffer that does not fit is refused by itself: the device and its other states live on. */
  async createSlot(): Promise<GPUBuffer> {
    let buffer: GPUBuffer | null = null
    try {
      return await this.parts.gpu.checked(() => {
        buffer = this.parts.gpu.buffer('state', bytesPerState(this.config), STORAGE)
        return buffer
      })
    } catch (error) {
      ;(buffer as GPUBuffer | null)?.destroy()
      throw error
    }
  }

  freeSlot(slot: GPUBuffer): void {
    slot.destroy()
  }

  copySlot(from: GPUBuffer, to: GPUBuffer): void {
    const encoder = this.parts.gpu.device.createCommandEncoder()
    encoder.copyBufferToBuffer(from, 0, to, 0, bytesPerState(this.config))
    this.parts.gpu.submit(encoder)
  }

  async readSlot(slot: GPUBuffer): Promise<Float32Array> {
    return new Float32Array(await this.parts.gpu.read(slot, 0, bytesPerState(this.config)))
  }

  writeSlot(slot: GPUBuffer, values: Float32Array): void {
    this.parts.gpu.write(slot, 0, values)
  }

  /** Logits [1, V] or [T, V], or null after the GPU has done its work. */
  async readChunk(buffer: GPUBuffer, tokens: ArrayLike<number>, logits: WantedLogits): Promise<Float32Array | null> {
    const { gpu, scratch, lists } = this.parts
    const count = tokens.length
    gpu.write(scratch.tokens, 0, Uint32Array.from(tokens))
    this.writeChunk(count)
    const encoder = gpu.device.createCommandEncoder()
    const bytes = bytesPerState(this.config)
    encoder.copyBufferToBuffer(buffer, 0, scratch.ring, 0, bytes)
    gpu.encode(encoder, commandsFor(lists.prefill, count))
    encoder.copyBufferToBuffer(scratch.ring, 0, buffer, 0, bytes)
    if (logits === 'none') {
      gpu.submit(encoder)
      await gpu.idle()
      return null
    }
    if (logits === 'all') {
      gpu.encode(encoder, commandsFor(lists.prefillHead, count))
      gpu.submit(encoder)
      return this.readLogitsRows(count)
    }
    const rowBytes = padded(this.config.hiddenSize) * 4
    if (lists.decodeHead) {
      encoder.copyBufferToBuffer(scratch.hiddenStates, (count - 1) * rowBytes, scratch.hiddenState, 0, rowBytes)
      gpu.encode(encoder, lists.decodeHead)
      return this.submitAndReadLogits(encoder)
    }
    if (count > 1) {
      encoder.copyBufferToBuffer(scratch.hiddenStates, (count - 1) * rowBytes, scratch.hiddenState, 0, rowBytes)
      encoder.copyBufferToBuffer(scratch.hiddenState, 0, scratch.hiddenStates, 0, rowBytes)
      gpu.submit(encoder)
      this.writeChunk(1)
      const headEncoder = gpu.device.createCommandEncoder()
      gpu.encode(headEncoder, commandsFor(lists.prefillHead, 1))
      return this.submitAndReadLogits(headEncoder)
    }
    gpu.encode(encoder, commandsFor(lists.prefillHead, 1))
    return this.submitAndReadLogits(encoder)
  }

  async decodeBatch([buffer]: readonly GPUBuffer[], [token]: readonly number[]): Promise<Float32Array[]> {
    const { gpu, scratch, lists } = this.parts
    if (lists.decode === null || lists.decodeHead === null) return [(await this.readChunk(buffer, [token], 'last'))!]
    gpu.write(scratch.step, 0, Uint32Array.of(0, token))
    const bytes = bytesPerState(this.config)
    const encoder = gpu.device.createCommandEncoder()
    encoder.copyBufferToBuffer(buffer, 0, scratch.ring, 0, bytes)
    gpu.encode(encoder, lists.decode)
    gpu.encode(encoder, lists.decodeHead)
    encoder.copyBufferToBuffer(scratch.ring, bytes, buffer, 0, bytes)
    return [await this.submitAndReadLogits(encoder)]
  }

  async decodeAhead(buffer: GPUBuffer, start: number | Float32Array, options: DecodeAheadOptions): Promise<number> {
    checkDeviceSampling(options, this.config.vocabularySize)
    const { gpu, scratch, lists } = this.parts
    const bytes = bytesPerState(this.config)
    this.writeSampling(options.sampling)
    gpu.write(scratch.step, 0, Uint32Array.of(0, typeof start === 'number' ? start : 0))
    const fill = gpu.device.createCommandEncoder()
    fill.copyBufferToBuffer(buffer, 0, scratch.ring, 0, bytes)
    if (typeof start !== 'number') {
      // The first token comes from logits that are there already: the state passes through that step unchanged.
      fill.copyBufferToBuffer(buffer, 0, scratch.ring, bytes, bytes)
      gpu.write(scratch.logits, 0, start)
    }
    gpu.submit(fill)

    const { temperature, penalties } = options.sampling
    const sample = temperature === 0 && penalties === null ? lists.sampleGreedy : lists.sampleDraw
    const batches: Promise<number[]>[] = []
    let position = 0
    const submitNext = (): void => {
      const count = Math.min(this.parts.options.batchTokens, options.maxTokens - position)
      if (count <= 0) return
      batches.push(this.submitBatch(sample, position, count, position === 0 && typeof start !== 'number'))
      position += count
    }
    let told = 0
    /** Tokens that were sampled and fed, or are to be: the slot of the ring that the state is taken from. */
    let slot = 0
    try {
      for (let i = 0; i < this.parts.options.batchesAhead; i++) submitNext()
      let goesOn = true
      while (goesOn) {
        for (const token of await batches.shift()!) {
          if (token === ASK_CPU) goesOn = false
          else if (token >= this.config.vocabularySize) throw notFinite()
          if (!goesOn) break
          slot = ++told
          const use = options.onToken(token)
          if (use === 'drop') slot--
          goesOn = use === 'feed' && !options.signal?.aborted && told < options.maxTokens
          if (!goesOn) break
        }
        if (goesOn) submitNext()
      }
    } finally {
      // Nothing reads a batch that was given up, but its buffers must come back.
      await Promise.allSettled(batches)
    }
    if (told === 0) return 0
    const keep = gpu.device.createCommandEncoder()
    keep.copyBufferToBuffer(scratch.ring, (slot % RING) * bytes, buffer, 0, bytes)
    gpu.submit(keep)
    return told
  }

  /**
   * A few tokens, sampled on the device; resolves to them.
   * @param hasLogits the first of them has its logits already
   */
  private submitBatch(sample: Command[], firstPosition: number, count: number, hasLogits: boolean): Promise<number[]> {
    const { gpu, scratch, lists } = this.parts
    const staging = this.idleTokenStaging.pop() ?? this.newTokenStaging()
    const encoder = gpu.device.createCommandEncoder()
    for (let i = 0; i < count; i++) {
      if (i === 0 && hasLogits) gpu.encode(encoder, sample)
      else if (lists.decode && lists.decodeHead) {
        gpu.encode(encoder, [...lists.decode, ...lists.decodeHead, ...sample])
      } else this.encodeUnfused(encoder, sample, firstPosition + i)
    }
    encoder.copyBufferToBuffer(scratch.chosen, 0, staging, 0, RING * 4)
    gpu.submit(encoder)
    const tokens = gpu.readStaging(staging, RING * 4).then(copy => {
      this.idleTokenStaging.push(staging)
      const ring = new Uint32Array(copy)
      return Array.from({ length: count }, (_, i) => ring[(firstPosition + i) % RING])
    })
    // Awaited in order; until then a failure is not "unhandled".
    tokens.catch(() => {})
    return tokens
  }

  /** One token through the prefill kernels, between the ring's slots. Slot 0 is where they work. */
  private encodeUnfused(encoder: GPUCommandEncoder, sample: Command[], position: number): void {
    const { gpu, scratch, lists } = this.parts
    const bytes = bytesPerState(this.config)
    this.writeChunk(1)
    const [from, to] = [position % RING, (position + 1) % RING]
    encoder.copyBufferToBuffer(scratch.step, 4, scratch.tokens, 0, 4)
    // Slot 0 may hold a state that is still wanted: it is kept aside in the spare slot behind the ring.
    encoder.copyBufferToBuffer(scratch.ring, 0, scratch.spareState, 0, bytes)
    if (from !== 0) copyWithin(encoder, scratch, from, 0, bytes)
    gpu.encode(encoder, commandsFor([...lists.prefill, ...lists.prefillHead], 1))
    if (to !== 0) {
      copyWithin(encoder, scratch, 0, to, bytes)
      encoder.copyBufferToBuffer(scratch.spareState, 0, scratch.ring, 0, bytes)
    }
    gpu.encode(encoder, sample)
  }

  private writeSampling(sampling: DeviceSampling): void {
    const { gpu, scratch } = this.parts
    const { uniform, counts, history } = samplingWords(sampling, this.config.vocabularySize)
    gpu.write(scratch.sampling, 0, uniform)
    if (counts) gpu.write(scratch.counts, 0, counts)
    if (history) gpu.write(scratch.history, 0, history)
  }

  private newTokenStaging(): GPUBuffer {
    const staging = this.parts.gpu.stagingBuffer(RING * 4)
    this.parts.made.push(staging)
    return staging
  }

  private writeChunk(tokenCount: number): void {
    this.parts.gpu.write(this.parts.scratch.chunk, 0, Uint32Array.of(tokenCount, 0, 0, 0))
  }

  private async submitAndReadLogits(encoder: GPUCommandEncoder): Promise<Float32Array> {
    const bytes = this.config.vocabularySize * 4
    encoder.copyBufferToBuffer(this.parts.scratch.logits, 0, this.logitsStaging, 0, bytes)
    this.parts.gpu.submit(encoder)
    return new Float32Array(await this.parts.gpu.readStaging(this.logitsStaging, bytes))
  }

  /** [T, V] without the padding of rows. */
  private async readLogitsRows(count: number): Promise<Float32Array> {
    const { vocabularySize } = this.config
    const stride = padded(vocabularySize)
    const rows = new Float32Array(await this.parts.gpu.read(this.parts.scratch.logits, 0, count * stride * 4))
    const logits = new Float32Array(count * vocabularySize)
    for (let t = 0; t < count; t++) {
      logits.set(rows.subarray(t * stride, t * stride + vocabularySize), t * vocabularySize)
    }
    return logits
  }

  /**
   * Time on the GPU of each op of a decode step, or of a prefill chunk of `tokens`: its dispatches one after another, `repeats`
   * times. Leaves nonsense in scratch, none in states. null without the feature timestamp-query. For benchmarks.
   */
  async timeOps(tokens: number | null, repeats: number): Promise<OpTime[] | null> {
    const { gpu, lists } = this.parts
    if (!gpu.device.features.has('timestamp-query')) return null
    const step = lists.decode && lists.decodeHead && [...lists.decode, ...lists.decodeHead, ...lists.sampleGreedy]
    const commands = tokens === null ? step : commandsFor(lists.prefill, tokens)
    if (commands === null) return null
    this.writeChunk(tokens ?? 1)
    const querySet = gpu.device.createQuerySet({ type: 'timestamp', count: 2 })
    const results = gpu.buffer('timestamps', 16, USAGE.queryResolve | USAGE.copySrc)
    const times: OpTime[] = []
    try {
      for (const [name, group] of Map.groupBy(commands, ({ kernel, groups }) => `${kernel.op} ${groups.join(' x ')}`)) {
        const encoder = gpu.device.createCommandEncoder()
        const all = Array.from({ length: repeats }, () => group).flat()
        gpu.encode(encoder, all, { querySet, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 })
        encoder.resolveQuerySet(querySet, 0, 2, results, 0)
        gpu.submit(encoder)
        const [begin, end] = new BigUint64Array(await gpu.read(results, 0, 16))
        times.push({ op: name, dispatches: group.length, microseconds: Number(end - begin) / 1000 / repeats })
      }
    } finally {
      querySet.destroy()
      results.destroy()
    }
    return times
  }

  /** GPU memory of this model: buffers, as they were allocated. */
  memory(liveSlots: number): RunnerMemory {
    const madeBytes = this.parts.made.reduce((sum, buffer) => sum + buffer.size, 0)
    return {
      weightBytes: this.parts.weights.bytes,
      bytesOfAllStates: liveSlots * bytesPerState(this.config),
      scratchBytes: madeBytes - this.parts.weights.bytes,
    }
  }

  dispose(): void {
    for (const buffer of this.parts.made) buffer.destroy()
    this.parts.made.length = 0
  }
}

const commandsFor = (commands: readonly PrefillCommand[], tokens: number): Command[] =>
  commands.map(({ kernel, bindGroup, groups }) => ({ kernel, bindGroup, groups: groups(tokens) }))

/** A buffer cannot be copied onto itself: by way of another. */
function copyWithin(encoder: GPUCommandEncoder, scratch: Scratch, from: number, to: number, bytes: number): void {
  encoder.copyBufferToBuffer(scratch.ring, from * bytes, scratch.movingState, 0, bytes)
  encoder.copyBufferToBuffer(scratch.movingState, 0, scratch.ring, to * bytes, bytes)
}

const notFinite = (): EngineError =>
  new EngineError('logits-not-finite', 'The model gave no number for any token.', {
    remedy: 'The model file may be damaged: download or convert it again.',
  })
