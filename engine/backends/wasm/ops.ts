/** The single operations on the same kernels, one thread, for conformance tests. Not how the runner works. */
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

const BITLINEAR_EPSILON = 1e-6

export function createWasmOps(module: WebAssembly.Module, variant: KernelVariant): OpTable {
  let memory: WebAssembly.Memory | null = null
  let kernels: KernelExports | null = null

  /** Kernels and room for one operation. Memory is made on first use and grows to the largest operation. */
  const begin = (bytes: number) => {
    memory ??= createMemory(PAGE_BYTES, 1, variant)
    if (kernels === null) {
      kernels = instantiate(module, memory)
      kernels.writeConstants()
    }
    const space = new AddressSpace(HEADER_BYTES)
    // Each buffer is aligned to 64 bytes and some kernels write whole vectors.
    const missing = HEADER_BYTES + bytes + 64 * 64 - memory.buffer.byteLength
    if (missing > 0) memory.grow(Math.ceil(missing / PAGE_BYTES))
    const { buffer } = memory
    return {
      kernels,
      space,
      put(values: Float32Array | Int8Array): number {
        const address = space.allocate(values.byteLength)
        if (values instanceof Int8Array) new Int8Array(buffer, address, values.length).set(values)
        else new Float32Array(buffer, address, values.length).set(values)
        return address
      },
      floats: (address: number, length: number) => new Float32Array(buffer, address, length).slice(),
      bytes: (address: number, length: number) => new Int8Array(buffer, address, length),
      words: (address: number, length: number) => new Int32Array(buffer, address, length),
    }
  }

  function absmaxQuantize(y: Float32Array, columns: number): Quantized {
    const { kernels, space, put, bytes, floats } = begin(y.byteLength + columns)
    const address = put(y)
    const to = space.allocate(columns)
    const meta = space.allocate(8)
    const tokens = y.length / columns
    const q = new Int8Array(y.length)
    const scales = new Float32Array(tokens)
    for (let t = 0; t < tokens; t++) {
      kernels.absmaxQuantize(address + t * columns * 4, columns, to, meta)
      q.set(bytes(to, columns), t * columns)
      scales[t] = floats(meta, 1)[0]
    }
    return { q, scales }
  }

  /** Integer sums [T, N] as they lie in memory: rows padded to 16. */
  function products(q: Int8Array, { rows, columns, codes }: TernaryMatrix) {
    const tokens = q.length / columns
    const groups = inputGroups(columns)
    const run = begin(
      q.length +
        codes.length +
        matrixBytes(rows, columns) +
        repackScratchBytes(columns) +
        tokens * (groups * 4 + 8 + paddedRows(rows) * 4),
    )
    const { kernels, space, put, bytes, words } = run
    const w = space.allocate(matrixBytes(rows, columns))
    const raw = put(codes)
    const scratch = space.allocate(repackScratchBytes(columns))
    for (let row = 0; row < rows; row += 16) {
      const out = w + (row / 16) * groups * 16
      kernels.repackCodes(raw + row * columns, Math.min(16, rows - row), columns, scratch, out)
    }
    const qRow = groups * 4
    const qAddress = space.allocate(tokens * qRow)
    const meta = space.allocate(tokens * 8)
    for (let t = 0; t < tokens; t++) {
      const token = q.subarray(t * columns, (t + 1) * columns)
      bytes(qAddress + t * qRow, qRow).fill(0)
      bytes(qAddress + t * qRow, columns).set(token)
      words(meta + t * 8, 2)[1] = token.reduce((sum, value) => sum + value, 0)
    }
    const outRow = paddedRows(rows) * 4
    const out = space.allocate(tokens * outRow)
    if (tokens === 1) kernels.gemv(w, qAddress, groups, words(meta, 2)[1], 0, paddedRows(rows) / 16, out)
    else kernels.gemm(w, groups, 0, paddedRows(rows) / 16, tokens, qAddress, qRow, meta, out, outRow)
    return { run, out, outRow, tokens }
  }

  function ternaryMatmul(q: Int8Array, matrix: TernaryMatrix): Int32Array {
    const { run, out, outRow, tokens } = products(q, matrix)
    const sums = new Int32Array(tokens * matrix.rows)
    for (let t = 0; t < tokens; t++) sums.set(run.words(out + t * outRow, matrix.rows), t * matrix.rows)
    return sums
  }

  function rmsNorm(x: Float32Array, weight: Float32Array, epsilon: number): Float32Array {
    const columns = weight.length
    const { kernels, space, put, floats } = begin(2 * x.byteLength + weight.byteLength)
    const from = put(x)
    const w = put(weight)
    const out = space.allocate(x.byteLength)
    for (let at = 0; at < x.byteLength; at += columns * 4) {
      kernels.rmsNorm(from + at, columns, w, epsilon, out + at)
    }
    return floats(out, x.length)
  }

  function bitLinear(x: Float32Array, { matrix, inNorm }: BitLinearWeights): Float32Array {
    const { q, scales } = absmaxQuantize(rmsNorm(x, inNorm, BITLINEAR_EPSILON), matrix.columns)
    const { run, out, outRow, tokens } = products(q, matrix)
    const result = new Float32Array(tokens * matrix.rows)
    for (let t = 0; t < tokens; t++) {
      run.kernels.dequantize(out + t * outRow, 0, matrix.rows, Math.fround(matrix.scale / scales[t]))
      result.set(run.floats(out + t * outRow, matrix.rows), t * matrix.rows)
    }
    return result
  }

  function mlgru({ input, forget, lowerBound, state }: MlgruInput): Float32Array {
    const width = state.length
    const { kernels, put, floats } = begin(2 * input.byteLength + 2 * state.byteLength)
    const i = put(input)
    const f = put(forget)
    const bound = lowerBound ? put(lowerBound) : 0
    const slot = put(state)
    for (let at = 0; at < input.byteLength; at += width * 4) {
      kernels.mlgru(i + at, f + at, bound, slot, i + at, 0, width)
    }
    return floats(i, input.length)
  }

  function mlgruOutput(g: Float32Array, h: Float32Array, outNorm: Float32Array, epsilon: number): Float32Array {
    const width = outNorm.length
    const { kernels, space, put, floats } = begin(4 * g.byteLength + outNorm.byteLength)
    const from = put(g)
    const hAddress = put(h)
    const weight = put(outNorm)
    const gate = space.allocate(h.byteLength)
    const out = space.allocate(h.byteLength)
    kernels.sigmoidRange(hAddress, gate, 0, h.length)
    for (let at = 0; at < g.byteLength; at += width * 4) {
      kernels.mlgruOutput(from + at, hAddress + at, gate + at, width, weight, epsilon, out + at)
    }
    return floats(out, g.length)
  }

  function glu(gateUp: Float32Array, intermediateSize: number): Float32Array {
    const { kernels, put, floats } = begin(gateUp.byteLength)
    const from = put(gateUp)
    const tokens = gateUp.length / (2 * intermediateSize)
    const out = new Float32Array(tokens * intermediateSize)
    for (let t = 0; t < tokens; t++) {
      const gate = from + t * 2 * intermediateSize * 4
      kernels.glu(gate, gate + intermediateSize * 4, 0, intermediateSize)
      out.set(floats(gate, intermediateSize), t * intermediateSize)
    }
    return out
  }

  return { rmsNorm, absmaxQuantize, ternaryMatmul, bitLinear, mlgru, mlgruOutput, glu }
}
