/**
 * What a driver says it can do is tried before a model depends on it: a few small products and norms, compared with plain
 * arithmetic. Decides which kernels an adapter gets. Not the conformance test, which holds every op against the reference.
 */
import { EngineError } from '../../errors.ts'
import { type Gpu, USAGE } from './gpu.ts'
import { createWebGpuOps } from './ops.ts'
import type { KernelFeatures } from './shader-assembly.ts'

/** What the backend knows of an adapter before it has tried anything. */
export type AdapterAbilities = Omit<KernelFeatures, 'isFused'>

/** From fast to plain. */
async function candidates(gpu: Gpu, abilities: AdapterAbilities): Promise<KernelFeatures[]> {
  const { isPackedDot, workgroups } = abilities
  const subgroupSize =
    gpu.device.features.has('subgroups') && abilities.subgroupSize >= 4 ? Math.min(32, abilities.subgroupSize) : 0
  const isFused = await fmaRoundsOnce(gpu)
  const all: KernelFeatures[] = [{ isPackedDot: false, isFused: false, subgroupSize: 0, workgroups }]
  if (isPackedDot) all.unshift({ isPackedDot, isFused, subgroupSize: 0, workgroups })
  if (subgroupSize > 0) all.unshift({ isPackedDot, isFused, subgroupSize, workgroups })
  return all
}

/** Whether fma(x, y, -x * y) is the exact rest of the product: the language leaves it open. */
async function fmaRoundsOnce(gpu: Gpu): Promise<boolean> {
  const count = 64
  const factors = Float32Array.from({ length: 2 * count }, (_, i) => 1 + ((i * 40_503) % 8_191) / 8_192)
  const fused = gpu.withFeatures({ isPackedDot: false, isFused: true, subgroupSize: 0, workgroups: 1 })
  return fused.checked(async () => {
    const kernel = await fused.kernel('fused-probe', {})
    const chunk = fused.bufferOf('chunk', new Uint32Array(4), 16, USAGE.uniform | USAGE.copyDst)
    const inputs = fused.bufferOf('factors', factors)
    const rests = fused.buffer('rests', 4 * count)
    try {
      const encoder = fused.device.createCommandEncoder()
      const bindGroup = kernel.bind({ chunk, factors: inputs, rests })
      fused.encode(encoder, [{ kernel, bindGroup, groups: [count, 1, 1] }])
      fused.submit(encoder)
      return new Float32Array(await fused.read(rests, 0, 4 * count)).every((rest, i) => {
        const product = factors[2 * i] * factors[2 * i + 1]
        return rest === product - Math.fround(product)
      })
    } finally {
      for (const buffer of [chunk, inputs, rests]) buffer.destroy()
    }
  })
}

/**
 * The first set of kernels that computes rightly.
 * @param wanted only these, for tests
 * @throws EngineError `backend-unavailable` with what went wrong
 */
export async function chooseKernels(
  gpu: Gpu,
  abilities: AdapterAbilities,
  wanted: KernelFeatures | null,
): Promise<Gpu> {
  const problems: string[] = []
  for (const features of wanted ? [wanted] : await candidates(gpu, abilities)) {
    const candidate = gpu.withFeatures(features)
    try {
      const problem = await problemOf(candidate)
      if (problem === null) return candidate
      problems.push(problem)
    } catch (error) {
      problems.push(error instanceof EngineError ? `${error.message} ${error.actual ?? ''}` : String(error))
    }
  }
  throw new EngineError('backend-unavailable', 'This graphics processor computes wrong results.', {
    actual: problems.join('; '),
    remedy: 'Update the graphics driver, or use the CPU.',
  })
}

/** null: all is right. */
async function problemOf(gpu: Gpu): Promise<string | null> {
  const ops = createWebGpuOps(gpu)
  const [rows, columns] = [70, 300]
  const codes = Int8Array.from({ length: rows * columns }, (_, i) => (((i * i + 7 * i) % 11) % 3) - 1)
  const x = Float32Array.from({ length: 2 * columns }, (_, i) => ((i * 37) % 101) - 50)
  const matrix = { rows, columns, codes, scale: 1 }
  const sums = await ops.ternaryMatmul(Int8Array.from(x), matrix)
  for (const [i, sum] of sums.entries()) {
    if (sum !== exactSum(x, codes, columns, Math.floor(i / rows), i % rows)) return 'integer products are wrong'
  }
  const y = await ops.rmsNorm(x, new Float32Array(columns).fill(1), 0)
  for (let t = 0; t < 2; t++) {
    const row = x.subarray(t * columns, (t + 1) * columns)
    const rms = Math.sqrt(row.reduce((sum, value) => sum + value * value, 0) / columns)
    if (row.some((value, k) => Math.abs(y[t * columns + k] - value / rms) > 1e-5)) return 'norms are wrong'
  }
  // One token takes the decode kernel, two the prefill kernels: both must say the same.
  const weights = { matrix, inNorm: new Float32Array(columns).fill(1) }
  const both = await ops.bitLinear(x, weights)
  const one = await ops.bitLinear(x.slice(0, columns), weights)
  return one.every((value, n) => value === both[n]) ? null : 'sums over the lanes of a row are wrong'
}

function exactSum(x: Float32Array, codes: Int8Array, columns: number, token: number, row: number): number {
  let sum = 0
  for (let k = 0; k < columns; k++) sum += x[token * columns + k] * codes[row * columns + k]
  return sum
}
