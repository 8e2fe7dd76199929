/**
 * The WASM kernels one by one, on one thread, with the sizes of a model: what a step is made of, and which part of it to
 * improve. Values do not matter to their speed.
 */
import { readFile } from 'node:fs/promises'
import { HEADER_BYTES } from '../../engine/backends/wasm/kernels/memory-layout.ts'
import {
  AddressSpace,
  createMemory,
  inputGroups,
  instantiate,
  type KernelVariant,
  matrixBytes,
  paddedRows,
  repackScratchBytes,
} from '../../engine/backends/wasm/kernels.ts'
import { rateOf } from '../../engine/bench.ts'
import type { TernaryType } from '../../engine/formats/tensor-types.ts'
import { packTernaryRow, ternaryRowBytes } from '../../engine/formats/ternary-blocks.ts'
import type { ModelConfig } from '../../engine/model/config.ts'
import type { Kernels } from './results.ts'

/** A run of one kernel lasts about so long. */
const RUN_MS = 60
/** Rows of the matrix that is too large for any cache: 128 MB and more. */
const FAR_MATRIX_BYTES = 128 * 2 ** 20
const GEMM_TOKENS = 32
const EPSILON = 1e-6

interface Measured {
  name: string
  /** What one call does. */
  work: string
  items: number
  unit: string
  /** Read and written. */
  bytes: number
  call(): void
}

export async function measureWasmKernels(
  { config }: { config: ModelConfig },
  variant: KernelVariant,
  rounds: number,
): Promise<Kernels> {
  const measured = await prepare(config, variant)
  const seconds = measured.map(() => [] as number[])
  for (let round = 0; round < rounds; round++) {
    for (const [m, { call }] of measured.entries()) seconds[m].push(secondsPerCall(call))
  }
  return {
    kernel: variant,
    rows: measured.map(({ name, work, items, unit, bytes }, m) => {
      const perSecond = (amount: number) => rateOf(seconds[m].map(time => amount / time))
      const { best, median } = perSecond(1)
      return {
        name,
        work,
        unit,
        microseconds: { best: 1e6 / best, median: 1e6 / median },
        itemsPerSecond: perSecond(items),
        bytesPerSecond: perSecond(bytes),
      }
    }),
  }
}

function secondsPerCall(call: () => void): number {
  call()
  let calls = 0
  let elapsedMs = 0
  const startMs = performance.now()
  for (let batch = 1; elapsedMs < RUN_MS; batch *= 2) {
    for (let c = 0; c < batch; c++) call()
    calls += batch
    elapsedMs = performance.now() - startMs
  }
  return elapsedMs / 1000 / calls
}

/** One module holds both relaxed forms. */
const moduleName = (variant: KernelVariant): string => (variant === 'relaxed-simd-int16' ? 'relaxed-simd' : variant)

/** Buffers in one memory, filled with valid values, and the calls on them. */
async function prepare(config: ModelConfig, variant: KernelVariant): Promise<Measured[]> {
  const { hiddenSize: d, stateWidth: e, intermediateSize: i } = config
  const farRows = Math.ceil(FAR_MATRIX_BYTES / inputGroups(d) / 16) * 16
  const module = new WebAssembly.Module(
    new Uint8Array(await readFile(new URL(`../../out/kernels/${moduleName(variant)}.wasm`, import.meta.url))),
  )
  const widest = Math.max(d, e, i)
  const fileRows = 16
  const memory = createMemory(
    matrixBytes(farRows, d) + paddedRows(farRows) * 4 + 64 * GEMM_TOKENS * widest + 2 ** 22,
    1,
    variant,
  )
  const kernels = instantiate(module, memory)
  kernels.writeConstants()

  const space = new AddressSpace(HEADER_BYTES)
  const floats = (length: number, value: (k: number) => number): number => {
    const address = space.allocate(length * 4)
    const array = new Float32Array(memory.buffer, address, length)
    for (let k = 0; k < length; k++) array[k] = value(k)
    return address
  }
  const wave = (k: number) => Math.sin(k * 0.37)
  const far = space.allocate(matrixBytes(farRows, d))
  new Uint8Array(memory.buffer, far, matrixBytes(farRows, d)).fill(0b10_01_00_01)
  const sums = space.allocate(Math.max(paddedRows(farRows), GEMM_TOKENS * paddedRows(d)) * 4)
  const q = space.allocate(GEMM_TOKENS * Math.ceil(widest / 64) * 64)
  const meta = space.allocate(GEMM_TOKENS * 8)
  const x = floats(widest, wave)
  const y = floats(widest, wave)
  const z = floats(widest, wave)
  const weight = floats(widest, () => 1)
  const bound = floats(widest, () => 0.5)
  // Converting sums in place would run away to infinity; a factor of 1 on small numbers stays where it is.
  const values = floats(widest, () => 0)
  const codes = space.allocate(repackScratchBytes(d))
  const block = space.allocate(matrixBytes(fileRows, d))
  const groups = inputGroups(d)
  const qRow = groups * 4
  const float = 4

  const gemv = (name: string, rows: number): Measured => ({
    name,
    work: `${rows} x ${d}`,
    items: rows * d,
    unit: 'Gweights/s',
    bytes: matrixBytes(rows, d),
    call: () => kernels.gemv(far, q, groups, 0, 0, rows / 16, sums),
  })
  const row = (name: string, n: number, floatsMoved: number, call: () => void): Measured => ({
    name,
    work: `${n}`,
    items: n,
    unit: 'Gelements/s',
    bytes: n * floatsMoved * float,
    call,
  })
  const rowCodes = Int8Array.from({ length: d }, (_, k) => (k % 3) - 1)
  const repack = (name: string, type: TernaryType, kernel: typeof kernels.repackTq1): Measured => {
    const rowBytes = ternaryRowBytes(type, d)
    const raw = space.allocate(fileRows * rowBytes)
    const packed = new Uint8Array(memory.buffer, raw, fileRows * rowBytes)
    for (let r = 0; r < fileRows; r++) packTernaryRow(type, rowCodes, 0, d, packed, r * rowBytes)
    return {
      name,
      work: `${fileRows} x ${d}`,
      items: fileRows * d,
      unit: 'Gweights/s',
      bytes: fileRows * rowBytes + matrixBytes(fileRows, d),
      call: () => {
        if (!kernel(raw, fileRows, d, codes, block)) throw new Error(`${name} refused valid rows.`)
      },
    }
  }
  const near = Math.min(farRows, Math.floor((256 * 1024) / inputGroups(d) / 16) * 16)
  return [
    gemv('gemv, from memory', farRows),
    gemv('gemv, from cache', near),
    {
      name: 'gemm, from cache',
      work: `${near} x ${d}, ${GEMM_TOKENS} tokens`,
      items: near * d * GEMM_TOKENS,
      unit: 'Gmac/s',
      bytes: matrixBytes(near, d),
      call: () => kernels.gemm(far, groups, 0, near / 16, GEMM_TOKENS, q, qRow, meta, sums, paddedRows(near) * 4),
    },
    row('rmsNorm', d, 3, () => kernels.rmsNorm(x, d, weight, EPSILON, y)),
    row('absmaxQuantize', d, 2.25, () => kernels.absmaxQuantize(x, d, q, meta)),
    row('dequantize', d, 2, () => kernels.dequantize(values, 0, d, 1)),
    row('mlgru', e, 6, () => kernels.mlgru(x, z, bound, y, y, 0, e)),
    row('mlgruOutput', e, 5, () => kernels.mlgruOutput(x, z, weight, e, weight, EPSILON, y)),
    row('glu', i, 3, () => kernels.glu(values, x, 0, i)),
    repack('repackTq2', 'TQ2_0', kernels.repackTq2),
    repack('repackTq1', 'TQ1_0', kernels.repackTq1),
  ]
}
