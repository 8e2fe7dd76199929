/** The single operations on the kernels of the runner, one thread, for conformance tests. */
import type { BitLinearWeights, MlgruInput, OpTable, Quantized, TernaryMatrix } from '../ops.ts'
import { HEADER_BYTES } from './kernels/memory-layout.ts'
import {
  AddressSpace,
  createMemory,
  inputGroups,
  instantiate,
  type KernelExports,
  type KernelVariant,
  matrixBytes,
  PAGE_BYTES,
  paddedRows,
  repackScratchBytes,
} from './kernels.ts'

export const createWasmOps = (module: WebAssembly.Module, variant: KernelVariant): OpTable =>
  new WasmOps(module, variant)

/** int8 inputs of all tokens and their records, as the products read them. */
interface QuantizedRows {
  readonly tokens: number
  /** Bytes of a row: whole groups of four inputs. */
  readonly qRow: number
  readonly q: number
  readonly meta: number
}

class WasmOps implements OpTable {
  private readonly module: WebAssembly.Module
  private readonly variant: KernelVariant
  private room: OpRoom | null = null

  constructor(module: WebAssembly.Module, variant: KernelVariant) {
    this.module = module
    this.variant = variant
  }

  readonly rmsNorm = (x: Float32Array, weight: Float32Array, epsilon: number): Float32Array => {
    const rowBytes = weight.byteLength
    const room = this.begin(2 * x.byteLength + rowBytes)
    const from = room.put(x)
    const w = room.put(weight)
    const out = room.allocate(x.byteLength)
    for (let at = 0; at < x.byteLength; at += rowBytes) {
      room.kernels.rmsNorm(from + at, weight.length, w, epsilon, out + at)
    }
    return room.floats(out, x.length)
  }

  readonly absmaxQuantize = (y: Float32Array, columns: number): Quantized => {
    const room = this.begin(y.byteLength + columns)
    const address = room.put(y)
    const to = room.allocate(columns)
    const meta = room.allocate(8)
    const tokens = y.length / columns
    const q = new Int8Array(y.length)
    const scales = new Float32Array(tokens)
    for (let t = 0; t < tokens; t++) {
      room.kernels.absmaxQuantize(address + t * columns * 4, columns, to, meta)
      q.set(room.bytes(to, columns), t * columns)
      scales[t] = room.floats(meta, 1)[0]
    }
    return { q, scales }
  }

  readonly ternaryMatmul = (q: Int8Array, matrix: TernaryMatrix): Int32Array => {
    const { rows, columns } = matrix
    const room = this.begin(q.length + this.productBytes(q.length / columns, matrix))
    const inputs = this.allocateInputs(room, q.length / columns, columns)
    for (let t = 0; t < inputs.tokens; t++) {
      const token = q.subarray(t * columns, (t + 1) * columns)
      room.bytes(inputs.q + t * inputs.qRow, inputs.qRow).fill(0)
      room.bytes(inputs.q + t * inputs.qRow, columns).set(token)
      room.words(inputs.meta + t * 8, 2)[1] = token.reduce((sum, value) => sum + value, 0)
    }
    const out = this.products(room, inputs, matrix)
    const sums = new Int32Array(inputs.tokens * rows)
    for (let t = 0; t < inputs.tokens; t++) sums.set(room.words(out + t * paddedRows(rows) * 4, rows), t * rows)
    return sums
  }

  /** As a step does it: one pass for the norm and the quantisation, then the products, then their scale. */
  readonly bitLinear = (x: Float32Array, { matrix, inNorm }: BitLinearWeights): Float32Array => {
    const { rows, columns, scale } = matrix
    const tokens = x.length / columns
    const room = this.begin(x.byteLength + 3 * inNorm.byteLength + this.productBytes(tokens, matrix))
    const { kernels } = room
    const from = room.put(x)
    const weight = room.put(inNorm)
    const divided = room.allocate(columns * 4)
    const scaled = room.allocate(columns * 4)
    const inputs = this.allocateInputs(room, tokens, columns)
    for (let t = 0; t < tokens; t++) {
      const row = from + t * columns * 4
      const sum = kernels.sumOfSquares(row, columns)
      const q = inputs.q + t * inputs.qRow
      kernels.quantizeInput(row, columns, sum, weight, divided, scaled, q, inputs.meta + t * 8)
    }
    const out = this.products(room, inputs, matrix)
    const result = new Float32Array(tokens * rows)
    for (let t = 0; t < tokens; t++) {
      const sums = out + t * paddedRows(rows) * 4
      kernels.dequantize(sums, 0, rows, kernels.dequantizeFactor(scale, inputs.meta + t * 8))
      result.set(room.floats(sums, rows), t * rows)
    }
    return result
  }

  readonly mlgru = ({ input, forget, lowerBound, state }: MlgruInput): Float32Array => {
    const width = state.length
    const room = this.begin(2 * input.byteLength + 2 * state.byteLength)
    const i = room.put(input)
    const f = room.put(forget)
    const bound = lowerBound ? room.put(lowerBound) : 0
    const slot = room.put(state)
    for (let at = 0; at < input.byteLength; at += width * 4) {
      room.kernels.mlgru(i + at, f + at, bound, slot, i + at, 0, width)
    }
    return room.floats(i, input.length)
  }

  readonly mlgruOutput = (g: Float32Array, h: Float32Array, outNorm: Float32Array, epsilon: number): Float32Array => {
    const width = outNorm.length
    const room = this.begin(4 * g.byteLength + outNorm.byteLength)
    const from = room.put(g)
    const hAddress = room.put(h)
    const weight = room.put(outNorm)
    const gate = room.allocate(h.byteLength)
    const out = room.allocate(h.byteLength)
    room.kernels.sigmoidRange(hAddress, gate, 0, h.length)
    for (let at = 0; at < g.byteLength; at += width * 4) {
      room.kernels.mlgruOutput(from + at, hAddress + at, gate + at, width, weight, epsilon, out + at)
    }
    return room.floats(out, g.length)
  }

  readonly glu = (gateUp: Float32Array, intermediateSize: number): Float32Array => {
    const room = this.begin(gateUp.byteLength)
    const from = room.put(gateUp)
    const tokens = gateUp.length / (2 * intermediateSize)
    const out = new Float32Array(tokens * intermediateSize)
    for (let t = 0; t < tokens; t++) {
      const gate = from + t * 2 * intermediateSize * 4
      room.kernels.glu(gate, gate + intermediateSize * 4, 0, intermediateSize)
      out.set(room.floats(gate, intermediateSize), t * intermediateSize)
    }
    return out
  }

  /** Room for one operation. */
  private begin(bytes: number): OpRoom {
    this.room ??= new OpRoom(this.module, this.variant)
    this.room.clear(bytes)
    return this.room
  }

  private productBytes(tokens: number, { rows, columns, codes }: TernaryMatrix): number {
    const rowBytes = inputGroups(columns) * 4 + 8 + paddedRows(rows) * 4
    return codes.length + matrixBytes(rows, columns) + repackScratchBytes(columns) + tokens * rowBytes
  }

  private allocateInputs(room: OpRoom, tokens: number, columns: number): QuantizedRows {
    const qRow = inputGroups(columns) * 4
    return { tokens, qRow, q: room.allocate(tokens * qRow), meta: room.allocate(tokens * 8) }
  }

  /** Address of the integer sums [T, N], rows padded to 16. */
  private products(room: OpRoom, { tokens, qRow, q, meta }: QuantizedRows, matrix: TernaryMatrix): number {
    const { kernels } = room
    const { rows, columns, codes } = matrix
    const groups = inputGroups(columns)
    const w = room.allocate(matrixBytes(rows, columns))
    const raw = room.put(codes)
    const scratch = room.allocate(repackScratchBytes(columns))
    for (let row = 0; row < rows; row += 16) {
      const out = w + (row / 16) * groups * 16
      kernels.repackCodes(raw + row * columns, Math.min(16, rows - row), columns, scratch, out)
    }
    const blocks = paddedRows(rows) / 16
    const outRow = paddedRows(rows) * 4
    const out = room.allocate(tokens * outRow)
    if (tokens === 1) kernels.gemv(w, q, groups, room.words(meta, 2)[1], 0, blocks, out)
    else kernels.gemm(w, groups, 0, blocks, tokens, q, qRow, meta, out, outRow)
    return out
  }
}

/** Memory for one operation at a time; it grows to the largest. */
class OpRoom {
  readonly kernels: KernelExports
  private readonly memory: WebAssembly.Memory
  private space = new AddressSpace(HEADER_BYTES)

  constructor(module: WebAssembly.Module, variant: KernelVariant) {
    this.memory = createMemory(PAGE_BYTES, 1, variant)
    this.kernels = instantiate(module, this.memory)
    this.kernels.writeConstants()
  }

  clear(bytes: number): void {
    this.space = new AddressSpace(HEADER_BYTES)
    // Each buffer is aligned to 64 bytes and some kernels write whole vectors.
    const missing = HEADER_BYTES + bytes + 64 * 64 - this.memory.buffer.byteLength
    if (missing > 0) this.memory.grow(Math.ceil(missing / PAGE_BYTES))
  }

  allocate(bytes: number): number {
    return this.space.allocate(bytes)
  }

  put(values: Float32Array | Int8Array): number {
    const address = this.allocate(values.byteLength)
    if (values instanceof Int8Array) this.bytes(address, values.length).set(values)
    else new Float32Array(this.memory.buffer, address, values.length).set(values)
    return address
  }

  /** A copy. */
  floats(address: number, length: number): Float32Array {
    return new Float32Array(this.memory.buffer, address, length).slice()
  }

  bytes(address: number, length: number): Int8Array {
    return new Int8Array(this.memory.buffer, address, length)
  }

  words(address: number, length: number): Int32Array {
    return new Int32Array(this.memory.buffer, address, length)
  }
}
