/** The single operations on the prefill kernels (and the decode kernel for one token's BitLinear), for conformance tests. */
import { EngineError } from '../../errors.ts'
import { packTernaryRow, ternaryRowBytes } from '../../formats/ternary-blocks.ts'
import type { BitLinearWeights, OpTable, TernaryMatrix } from '../ops.ts'
import { type Command, type Gpu, type Kernel, STORAGE, USAGE } from './gpu.ts'
import * as shapes from './kernel-shapes.ts'

/** RMSNorm's own epsilon is in BitLinear's; kernels that have none get this. */
const NO_EPSILON = 1e-6

export function createWebGpuOps(gpu: Gpu): OpTable {
  return {
    async rmsNorm(x, weight, epsilon) {
      const columns = weight.length
      return run(gpu, x.length / columns, async op => {
        const rows = op.rows(x, columns)
        const kernel = await gpu.kernel('rms-norm', shapes.rowConstants(columns, epsilon))
        op.dispatch(kernel, { chunk: op.chunk, norm: op.rows(weight, columns), rows }, [op.tokens, 1, 1])
        return op.readRows(rows, columns)
      })
    },

    async absmaxQuantize(y, columns) {
      return run(gpu, y.length / columns, async op => {
        const { activations, scales } = await quantize(op, y, new Float32Array(columns).fill(1), false)
        const words = new Uint8Array(await op.read(activations, op.tokens * shapes.rowWords(columns) * 16))
        const q = new Int8Array(y.length)
        for (let t = 0; t < op.tokens; t++) {
          for (let k = 0; k < columns; k++) {
            q[t * columns + k] = words[t * shapes.padded(columns) + activationByte(k)]
          }
        }
        const pairs = new Float32Array(await op.read(scales, op.tokens * 8))
        return { q, scales: pairs.filter((_, i) => i % 2 === 0) }
      })
    },

    async ternaryMatmul(q, matrix) {
      const { columns, rows } = matrix
      return run(gpu, q.length / columns, async op => {
        const bytes = new Int8Array(op.tokens * shapes.padded(columns))
        const scales = new Int32Array(op.tokens * 2)
        for (let t = 0; t < op.tokens; t++) {
          for (let k = 0; k < columns; k++) {
            bytes[t * shapes.padded(columns) + activationByte(k)] = q[t * columns + k]
            scales[2 * t + 1] += q[t * columns + k]
          }
        }
        const activations = op.buffer(new Uint32Array(bytes.buffer))
        const output = await gemm(op, matrix, activations, op.buffer(scales), shapes.EPILOGUE.integers)
        return new Int32Array((await op.readRows(output, rows)).buffer)
      })
    },

    async bitLinear(x, weights) {
      const { columns, rows } = weights.matrix
      return run(gpu, x.length / columns, async op => {
        if (op.tokens === 1) return bitLinearOfOne(op, x, weights)
        const { activations, scales } = await quantize(op, x, weights.inNorm, true)
        const output = await gemm(op, weights.matrix, activations, scales, shapes.EPILOGUE.store)
        return op.readRows(output, rows)
      })
    },

    async mlgru({ input, forget, lowerBound, state }) {
      const width = state.length
      return run(gpu, input.length / width, async op => {
        const gates = op.planes([input, forget], width)
        const channels = { E: width, L: 1, STRIDE: shapes.padded(width), CAPACITY: op.tokens }
        const bounds = op.buffer(lowerBound ?? new Float32Array(width))
        const dispatch = op.dispatchUniform([0, 0, 0, 0])
        const gatesKernel = await gpu.kernel('mlgru-gates', channels)
        const buffers = { dispatch, chunk: op.chunk, gates }
        op.dispatch(gatesKernel, { ...buffers, lower_bounds: bounds }, [Math.ceil(width / 64), op.tokens, 1])
        const scanKernel = await gpu.kernel('mlgru', channels)
        op.dispatch(scanKernel, { ...buffers, states: op.buffer(state) }, [Math.ceil(width / 32), 1, 1])
        return op.readRows(gates, width)
      })
    },

    async mlgruOutput(g, h, outNorm, epsilon) {
      const width = outNorm.length
      return run(gpu, g.length / width, async op => {
        const gates = op.planes([h, new Float32Array(h.length), g], width)
        const kernel = await gpu.kernel('mlgru-output', { ...shapes.rowConstants(width, epsilon), CAPACITY: op.tokens })
        op.dispatch(kernel, { chunk: op.chunk, norm: op.rows(outNorm, width), gates }, [op.tokens, 1, 1])
        return op.readRows(gates, width, op.tokens)
      })
    },

    async glu(gateUp, intermediateSize) {
      const tokens = gateUp.length / intermediateSize / 2
      return run(gpu, tokens, async op => {
        const half = (plane: number): Float32Array =>
          gateUp.filter((_, i) => Math.floor(i / intermediateSize) % 2 === plane)
        const planes = op.planes([half(0), half(1)], intermediateSize)
        const constants = { I: intermediateSize, STRIDE: shapes.padded(intermediateSize), CAPACITY: tokens }
        const kernel = await gpu.kernel('glu', constants)
        op.dispatch(kernel, { chunk: op.chunk, gate_up: planes }, [Math.ceil(intermediateSize / 64), tokens, 1])
        return op.readRows(planes, intermediateSize)
      })
    },
  }
}

/** Byte of input k in a row of activations: the order of shaders/ternary.wgsl. */
function activationByte(k: number): number {
  const [half, n, m, b] = [k >> 7, (k >> 5) & 3, (k >> 2) & 7, k & 3]
  return half * 128 + m * 16 + n * 4 + b
}

/** Buffers and commands of one operation, freed at its end. */
class Operation {
  readonly gpu: Gpu
  readonly tokens: number
  readonly chunk: GPUBuffer
  private readonly made: GPUBuffer[] = []
  private readonly commands: Command[] = []

  constructor(gpu: Gpu, tokens: number) {
    this.gpu = gpu
    this.tokens = tokens
    this.chunk = this.keep(gpu.bufferOf('chunk', Uint32Array.of(tokens, 0, 0, 0), 16, USAGE.uniform | USAGE.copyDst))
  }

  buffer(values: Float32Array | Uint32Array | Int32Array): GPUBuffer {
    return this.keep(this.gpu.bufferOf('operand', values))
  }

  empty(bytes: number): GPUBuffer {
    return this.keep(this.gpu.buffer('result', bytes, STORAGE))
  }

  dispatchUniform(words: number[], scale = 0): GPUBuffer {
    const values = new Uint32Array(8)
    values.set(words)
    values.set(new Uint32Array(Float32Array.of(scale).buffer), 4)
    return this.keep(this.gpu.bufferOf('dispatch', values, 32, USAGE.uniform | USAGE.copyDst))
  }

  /** [rows, shapes.padded columns] */
  rows(values: Float32Array, columns: number): GPUBuffer {
    return this.planes([values], columns)
  }

  /** [planes, rows, shapes.padded columns] */
  planes(planes: Float32Array[], columns: number): GPUBuffer {
    const stride = shapes.padded(columns)
    const rowCount = planes[0].length / columns
    const all = new Float32Array(planes.length * rowCount * stride)
    for (const [p, plane] of planes.entries()) {
      for (let row = 0; row < rowCount; row++) {
        all.set(plane.subarray(row * columns, (row + 1) * columns), (p * rowCount + row) * stride)
      }
    }
    return this.buffer(all)
  }

  dispatch(kernel: Kernel, buffers: Record<string, GPUBuffer>, groups: Command['groups']): void {
    this.commands.push({ kernel, bindGroup: kernel.bind(buffers), groups })
  }

  /** Runs what was dispatched since the last read. */
  async read(buffer: GPUBuffer, bytes: number, offset = 0): Promise<ArrayBuffer> {
    const encoder = this.gpu.device.createCommandEncoder()
    this.gpu.encode(encoder, this.commands.splice(0))
    this.gpu.submit(encoder)
    return this.gpu.read(buffer, offset, bytes)
  }

  /** `tokens` rows from `firstRow` without their padding. */
  async readRows(buffer: GPUBuffer, columns: number, firstRow = 0): Promise<Float32Array> {
    const stride = shapes.padded(columns)
    const all = new Float32Array(await this.read(buffer, this.tokens * stride * 4, firstRow * stride * 4))
    const rows = new Float32Array(this.tokens * columns)
    for (let t = 0; t < this.tokens; t++) rows.set(all.subarray(t * stride, t * stride + columns), t * columns)
    return rows
  }

  free(): void {
    for (const buffer of this.made) buffer.destroy()
  }

  private keep(buffer: GPUBuffer): GPUBuffer {
    this.made.push(buffer)
    return buffer
  }
}

async function run<T>(gpu: Gpu, tokens: number, work: (op: Operation) => Promise<T>): Promise<T> {
  if (!Number.isInteger(tokens)) throw new EngineError('invalid-argument', 'An operand has the wrong length.')
  return gpu.checked(async () => {
    const op = new Operation(gpu, tokens)
    try {
      return await work(op)
    } finally {
      op.free()
    }
  })
}

/** int8 activations [T, words] and [T] pairs of scale and sum. */
async function quantize(
  op: Operation,
  x: Float32Array,
  inNorm: Float32Array,
  hasLinearNorm: boolean,
): Promise<{ activations: GPUBuffer; scales: GPUBuffer }> {
  const columns = inNorm.length
  const activations = op.empty(op.tokens * shapes.rowWords(columns) * 16)
  const scales = op.empty(op.tokens * 8)
  const norms = op.rows(inNorm, columns)
  const kernel = await op.gpu.kernel('norm-quantize', {
    ...shapes.rowConstants(columns, NO_EPSILON),
    PLANES: 1,
    CAPACITY: op.tokens,
    HAS_NORM: false,
    HAS_LINEAR_NORM: hasLinearNorm,
  })
  const buffers = { input: op.rows(x, columns), norm: norms, in_norms: norms, activations, token_scales: scales }
  op.dispatch(kernel, { chunk: op.chunk, ...buffers }, [op.tokens, 1, 1])
  return { activations, scales }
}

/** [N, words] in the order of shaders/ternary.wgsl. */
function codeWords({ rows, columns, codes }: TernaryMatrix): Uint32Array {
  const blockBytes = ternaryRowBytes('TQ2_0', columns)
  const row = new Uint8Array(blockBytes)
  const words = new Uint8Array(rows * shapes.rowWords(columns) * 4)
  for (let n = 0; n < rows; n++) {
    packTernaryRow('TQ2_0', codes, n * columns, columns, row, 0)
    for (let block = 0; block < blockBytes / 66; block++) {
      words.set(row.subarray(66 * block, 66 * block + 64), n * shapes.rowWords(columns) * 4 + 64 * block)
    }
  }
  return new Uint32Array(words.buffer)
}

async function gemm(
  op: Operation,
  matrix: TernaryMatrix,
  activations: GPUBuffer,
  tokenScales: GPUBuffer,
  epilogue: number,
): Promise<GPUBuffer> {
  const { rows, columns, scale } = matrix
  const output = op.empty(op.tokens * shapes.padded(rows) * 4)
  const shape = shapes.gemmShape(op.gpu.features, rows, op.tokens, 1)
  const kernel = await op.gpu.kernel('bitlinear-gemm', {
    ...shapes.gemmConstants(shape),
    K: columns,
    QUANTIZED_PLANES: 1,
    CAPACITY: op.tokens,
    STRIDE: shapes.padded(rows),
    EPILOGUE: epilogue,
  })
  op.dispatch(
    kernel,
    {
      dispatch: op.dispatchUniform([0, rows, 0, 0], scale),
      chunk: op.chunk,
      activations,
      token_scales: tokenScales,
      codes: op.buffer(codeWords(matrix)),
      output,
    },
    shapes.gemmGroups(shape, rows, op.tokens, 1),
  )
  return output
}

/** The decode kernel. */
async function bitLinearOfOne(
  op: Operation,
  x: Float32Array,
  { matrix, inNorm }: BitLinearWeights,
): Promise<Float32Array> {
  const { rows, columns, scale } = matrix
  const norms = op.rows(inNorm, columns)
  const output = op.empty(shapes.padded(rows) * 4)
  const shape = shapes.gemvShape(op.gpu.features, rows, columns, 1)
  const kernel = await op.gpu.kernel('bitlinear-gemv', {
    ...shapes.gemvConstants(shape, columns, NO_EPSILON),
    HAS_NORM: false,
    ADD: false,
  })
  op.dispatch(
    kernel,
    {
      dispatch: op.dispatchUniform([0, rows, 0, 0], scale),
      chunk: op.chunk,
      input: op.rows(x, columns),
      norm: norms,
      in_norms: norms,
      codes: op.buffer(codeWords(matrix)),
      output,
    },
    [shapes.gemvGroups(shape, rows), 1, 1],
  )
  return op.readRows(output, rows)
}
