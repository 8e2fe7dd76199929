/**
 * The model's forward pass as prepared commands: kernels compiled and bound once, for a prefill chunk of any length and for
 * a decode step. Allocates scratch; submits nothing.
 */
import type { ShaderOp } from '../../../shaders/index.ts'
import type { ModelConfig } from '../../model/config.ts'
import { MAX_DEVICE_PENALTY_WINDOW } from '../backend.ts'
import { type Binding, type Command, type Gpu, STORAGE, USAGE } from './gpu.ts'
import {
  EPILOGUE,
  gemmConstants,
  gemmGroups,
  gemmShape,
  gemvConstants,
  gemvGroups,
  gemvShape,
  gemvWorkgroupBytes,
  padded,
  RING,
  rowConstants,
  WORKGROUP_SIZE,
} from './kernel-shapes.ts'
import type { ShaderConstants } from './shader-assembly.ts'
import type { MatrixGroup, WeightBuffers } from './weights.ts'

/** Everything that is overwritten by each token or chunk. T is the chunk's capacity. */
export interface Scratch {
  /** Uniform: token count, 0, ... */
  chunk: GPUBuffer
  /** [T] */
  tokens: GPUBuffer
  /** [T, D] */
  hiddenStates: GPUBuffer
  /** [3, T, E] */
  gates: GPUBuffer
  /** [2, T, I] */
  gateUp: GPUBuffer
  /** int8 of the widest input, [3, T, words] */
  activations: GPUBuffer
  /** [3, T] */
  tokenScales: GPUBuffer
  /** [logitsTokens, V] */
  logits: GPUBuffer
  /** One token of a decode step: [D], [3, E], [I] */
  hiddenState: GPUBuffer
  stepGates: GPUBuffer
  gated: GPUBuffer
  /** [RING, L, E]; prefill works in slot 0. */
  ring: GPUBuffer
  /** [L, E] each: where states are put aside, see runner.ts. */
  spareState: GPUBuffer
  movingState: GPUBuffer
  /** position, token */
  step: GPUBuffer
  /** [RING] */
  chosen: GPUBuffer
  /** Uniform: see sample-draw.wgsl */
  sampling: GPUBuffer
  /** [V] how often each token stands in the penalties' window */
  counts: GPUBuffer
  /** [MAX_DEVICE_PENALTY_WINDOW] */
  history: GPUBuffer
}

/** Logits are made for this many tokens at once when all are wanted. */
export const logitsTokens = (config: ModelConfig, chunkTokens: number): number =>
  Math.max(1, Math.min(chunkTokens, Math.floor(2 ** 22 / config.vocabularySize)))

export function scratchSizes(config: ModelConfig, chunkTokens: number): Record<keyof Scratch, number> {
  const { hiddenSize: D, stateWidth: E, intermediateSize: I, layerCount: L, vocabularySize: V } = config
  const T = chunkTokens
  const row = (columns: number): number => padded(columns) * 4
  return {
    chunk: 16,
    tokens: T * 4,
    hiddenStates: T * row(D),
    gates: 3 * T * row(E),
    gateUp: 2 * T * row(I),
    activations: T * Math.max(3 * padded(D), padded(E), padded(I)),
    tokenScales: 3 * T * 8,
    logits: logitsTokens(config, T) * row(V),
    hiddenState: row(D),
    stepGates: 3 * row(E),
    gated: row(I),
    ring: RING * L * E * 4,
    spareState: L * E * 4,
    movingState: L * E * 4,
    step: 16,
    chosen: RING * 4,
    sampling: 48,
    counts: V * 4,
    history: MAX_DEVICE_PENALTY_WINDOW * 4,
  }
}

export function makeScratch(gpu: Gpu, config: ModelConfig, chunkTokens: number, made: GPUBuffer[]): Scratch {
  const sizes = scratchSizes(config, chunkTokens)
  const buffers: Partial<Scratch> = {}
  for (const name of Object.keys(sizes) as (keyof Scratch)[]) {
    const isUniform = name === 'chunk' || name === 'sampling'
    const buffer = gpu.buffer(name, sizes[name], isUniform ? USAGE.uniform | USAGE.copyDst : STORAGE)
    made.push(buffer)
    buffers[name] = buffer
  }
  return buffers as Scratch
}

/** How many times a command is dispatched depends on the chunk: y (or x) is tokens, or tiles of them. */
export interface PrefillCommand extends Omit<Command, 'groups'> {
  groups(tokens: number): readonly [number, number, number]
}

/** Commands of a model, and of parts of it. */
export interface CommandLists {
  /** Tokens to hidden states and new recurrent state (slot 0 of the ring), for a chunk. */
  prefill: PrefillCommand[]
  /** Hidden states to logits, for the first tokens of a chunk's hidden states. */
  prefillHead: PrefillCommand[]
  /** The token in `step` to logits and the next slot's state; null where a row does not fit workgroup memory. */
  decode: Command[] | null
  /** `hiddenState` to logits; null likewise. */
  decodeHead: Command[] | null
  sampleGreedy: Command[]
  sampleDraw: Command[]
}

/** Compiles and binds everything. Throws `backend-failed`. */
export async function makeCommandLists(
  gpu: Gpu,
  config: ModelConfig,
  weights: WeightBuffers,
  scratch: Scratch,
  chunkTokens: number,
): Promise<CommandLists> {
  const builder = new CommandBuilder(gpu, config, weights, scratch, chunkTokens)
  const fits = decodeFits(gpu, config)
  const [prefill, prefillHead, decode, decodeHead, sampleGreedy, sampleDraw] = await Promise.all([
    builder.prefill(),
    builder.prefillHead(),
    fits ? builder.decode() : null,
    fits ? builder.decodeHead() : null,
    builder.sampleGreedy(),
    builder.sampleDraw(),
  ])
  return { prefill, prefillHead, decode, decodeHead, sampleGreedy, sampleDraw }
}

/** Whether a token's quantised inputs fit into the workgroup memory of this adapter. */
function decodeFits(gpu: Gpu, { hiddenSize, stateWidth, intermediateSize }: ModelConfig): boolean {
  const limit = gpu.maximumWorkgroupBytes
  return (
    gemvWorkgroupBytes(hiddenSize, 3) <= limit &&
    gemvWorkgroupBytes(stateWidth, 1) <= limit &&
    gemvWorkgroupBytes(intermediateSize, 1) <= limit
  )
}

class CommandBuilder {
  private readonly gpu: Gpu
  private readonly config: ModelConfig
  private readonly weights: WeightBuffers
  private readonly scratch: Scratch
  private readonly capacity: number

  constructor(gpu: Gpu, config: ModelConfig, weights: WeightBuffers, scratch: Scratch, capacity: number) {
    this.gpu = gpu
    this.config = config
    this.weights = weights
    this.scratch = scratch
    this.capacity = capacity
  }

  async prefill(): Promise<PrefillCommand[]> {
    const { config, weights, scratch, capacity } = this
    const { stateWidth: E, intermediateSize: I, layerCount: L } = config
    const commands: PrefillCommand[] = []
    commands.push(...(await this.embedding(scratch.tokens, 0, scratch.hiddenStates)))
    const gatesPlane = capacity * padded(E) * 4
    const channels = { E, L, STRIDE: padded(E), CAPACITY: capacity }
    const [gatesKernel, scanKernel, outputKernel, gluKernel] = await Promise.all([
      this.gpu.kernel('mlgru-gates', channels),
      this.gpu.kernel('mlgru', channels),
      this.gpu.kernel('mlgru-output', { ...rowConstants(E, config.rmsNormEpsilon), CAPACITY: capacity }),
      this.gpu.kernel('glu', { I, STRIDE: padded(I), CAPACITY: capacity }),
    ])
    for (const block of weights.blocks) {
      const dispatch = block.mlgruIfg.segments[0].dispatch
      commands.push(await this.quantize(scratch.hiddenStates, block.mlgruIfg, 3, block.mlgruNorm))
      commands.push(...(await this.gemm(block.mlgruIfg, 3, scratch.gates, EPILOGUE.store)))
      commands.push({
        kernel: gatesKernel,
        bindGroup: gatesKernel.bind({
          dispatch,
          chunk: scratch.chunk,
          lower_bounds: weights.lowerBounds,
          gates: scratch.gates,
        }),
        groups: tokens => [Math.ceil(E / 64), tokens, 1],
      })
      commands.push({
        kernel: scanKernel,
        bindGroup: scanKernel.bind({ dispatch, chunk: scratch.chunk, gates: scratch.gates, states: scratch.ring }),
        groups: () => [Math.ceil(E / 32), 1, 1],
      })
      commands.push({
        kernel: outputKernel,
        bindGroup: outputKernel.bind({ chunk: scratch.chunk, norm: block.mlgruOutNorm, gates: scratch.gates }),
        groups: tokens => [tokens, 1, 1],
      })
      const outputs = { buffer: scratch.gates, offset: gatesPlane, size: gatesPlane }
      commands.push(await this.quantize(outputs, block.mlgruO, 1, null))
      commands.push(...(await this.gemm(block.mlgruO, 1, scratch.hiddenStates, EPILOGUE.add)))
      commands.push(await this.quantize(scratch.hiddenStates, block.gluGateUp, 1, block.gluNorm))
      commands.push(...(await this.gemm(block.gluGateUp, 1, scratch.gateUp, EPILOGUE.store)))
      commands.push({
        kernel: gluKernel,
        bindGroup: gluKernel.bind({ chunk: scratch.chunk, gate_up: scratch.gateUp }),
        groups: tokens => [Math.ceil(I / 64), tokens, 1],
      })
      commands.push(await this.quantize(scratch.gateUp, block.gluDown, 1, null))
      commands.push(...(await this.gemm(block.gluDown, 1, scratch.hiddenStates, EPILOGUE.add)))
    }
    return commands
  }

  async prefillHead(): Promise<PrefillCommand[]> {
    const { weights, scratch } = this
    return [
      await this.quantize(scratch.hiddenStates, weights.output, 1, weights.outputNorm),
      ...(await this.gemm(weights.output, 1, scratch.logits, EPILOGUE.store)),
    ]
  }

  async decode(): Promise<Command[]> {
    const { config, weights, scratch } = this
    const { stateWidth: E, layerCount: L } = config
    const embedding = await this.embedding(scratch.step, 1, scratch.hiddenState)
    const commands: Command[] = embedding.map(command => ({ ...command, groups: command.groups(1) }))
    const ring = { E, L, STRIDE: padded(E), RING }
    for (const block of weights.blocks) {
      commands.push(
        ...(await this.gemv('mlgru-step', block.mlgruIfg, ring, {
          input: scratch.hiddenState,
          norm: block.mlgruNorm,
          lower_bounds: weights.lowerBounds,
          step: scratch.step,
          states: scratch.ring,
          gates: scratch.stepGates,
        })),
        ...(await this.gemv(
          'mlgru-output-step',
          block.mlgruO,
          {},
          {
            input: scratch.stepGates,
            norm: block.mlgruOutNorm,
            hidden_state: scratch.hiddenState,
          },
        )),
        ...(await this.gemv(
          'glu-step',
          block.gluGateUp,
          {},
          {
            input: scratch.hiddenState,
            norm: block.gluNorm,
            gated: scratch.gated,
          },
        )),
        ...(await this.gemv(
          'bitlinear-gemv',
          block.gluDown,
          { HAS_NORM: false, ADD: true },
          {
            input: scratch.gated,
            norm: block.gluDown.inNorms,
            output: scratch.hiddenState,
          },
        )),
      )
    }
    return commands
  }

  decodeHead(): Promise<Command[]> {
    const { weights, scratch } = this
    return this.gemv(
      'bitlinear-gemv',
      weights.output,
      { HAS_NORM: true, ADD: false },
      {
        input: scratch.hiddenState,
        norm: weights.outputNorm,
        output: scratch.logits,
      },
    )
  }

  /** One of the decode kernels over all buffers of its matrices. */
  private async gemv(
    op: ShaderOp,
    matrices: MatrixGroup,
    constants: ShaderConstants,
    buffers: Record<string, Binding>,
  ): Promise<Command[]> {
    const { planes, rows, columns, inNorms, segments } = matrices
    const shape = gemvShape(this.gpu.features, rows, columns, planes)
    const kernel = await this.gpu.kernel(op, {
      ...gemvConstants(shape, columns, this.config.rmsNormEpsilon),
      ...constants,
    })
    return segments.map(({ codes, dispatch, rowCount }) => ({
      kernel,
      bindGroup: kernel.bind({ ...buffers, dispatch, chunk: this.scratch.chunk, in_norms: inNorms, codes }),
      groups: [gemvGroups(shape, rowCount), 1, 1],
    }))
  }

  async sampleGreedy(): Promise<Command[]> {
    const { logits, step, chosen } = this.scratch
    const kernel = await this.gpu.kernel('sample-argmax', this.samplingConstants())
    return [{ kernel, bindGroup: kernel.bind({ logits, step, chosen }), groups: [1, 1, 1] }]
  }

  async sampleDraw(): Promise<Command[]> {
    const { sampling, logits, step, chosen, counts, history } = this.scratch
    const kernel = await this.gpu.kernel('sample-draw', this.samplingConstants())
    return [{ kernel, bindGroup: kernel.bind({ sampling, logits, step, chosen, counts, history }), groups: [1, 1, 1] }]
  }

  private samplingConstants(): ShaderConstants {
    return { WORKGROUP_SIZE, V: this.config.vocabularySize, RING }
  }

  private async embedding(tokens: GPUBuffer, tokensOffset: number, hiddenStates: GPUBuffer): Promise<PrefillCommand[]> {
    const { hiddenSize: D } = this.config
    const constants = { D, STRIDE: padded(D), TOKENS_OFFSET: tokensOffset, IS_HALF: this.weights.embeddingIsHalf }
    const kernel = await this.gpu.kernel('embedding', constants)
    return this.weights.embedding.map(({ rows, dispatch }) => ({
      kernel,
      bindGroup: kernel.bind({ dispatch, tokens, rows, hidden_state: hiddenStates }),
      groups: tokenCount => [Math.ceil(D / 64), tokenCount, 1],
    }))
  }

  /** [T, K] to int8 for `planes` matrices, each with its own norm. */
  private async quantize(
    input: Binding,
    matrices: MatrixGroup,
    planes: number,
    norm: GPUBuffer | null,
  ): Promise<PrefillCommand> {
    const constants: ShaderConstants = {
      ...rowConstants(matrices.columns, this.config.rmsNormEpsilon),
      PLANES: planes,
      CAPACITY: this.capacity,
      HAS_NORM: norm !== null,
      HAS_LINEAR_NORM: true,
    }
    const kernel = await this.gpu.kernel('norm-quantize', constants)
    return {
      kernel,
      bindGroup: kernel.bind({
        chunk: this.scratch.chunk,
        input,
        norm: norm ?? matrices.inNorms,
        in_norms: matrices.inNorms,
        activations: this.scratch.activations,
        token_scales: this.scratch.tokenScales,
      }),
      groups: tokens => [tokens, 1, 1],
    }
  }

  private async gemm(
    matrices: MatrixGroup,
    quantizedPlanes: number,
    output: GPUBuffer,
    epilogue: number,
  ): Promise<PrefillCommand[]> {
    const { planes, rows, columns, segments } = matrices
    const shape = gemmShape(this.gpu.features, rows, this.capacity, planes)
    const kernel = await this.gpu.kernel('bitlinear-gemm', {
      ...gemmConstants(shape),
      K: columns,
      QUANTIZED_PLANES: quantizedPlanes,
      CAPACITY: this.capacity,
      STRIDE: padded(rows),
      EPILOGUE: epilogue,
    })
    return segments.map(({ codes, dispatch, rowCount }) => ({
      kernel,
      bindGroup: kernel.bind({
        dispatch,
        chunk: this.scratch.chunk,
        activations: this.scratch.activations,
        token_scales: this.scratch.tokenScales,
        codes,
        output,
      }),
      groups: tokens => gemmGroups(shape, rowCount, tokens, planes),
    }))
  }
}
