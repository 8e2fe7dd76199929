/**
 * Chooses the kernels at start: the fastest variant that this engine accepts and that computes what the scalar variant
 * computes. Some JavaScript engines accept relaxed SIMD and compute wrong sums with it.
 */
import { EngineError } from '../../errors.ts'
import {
  createMemory,
  inputGroups,
  instantiate,
  type KernelExports,
  type KernelVariant,
  matrixBytes,
} from './kernels.ts'

export interface ChosenKernels {
  variant: KernelVariant
  module: WebAssembly.Module
  /** Why not a faster variant, or null. */
  reason: string | null
}

const LABELS: Record<KernelVariant, string> = {
  'relaxed-simd': 'relaxed SIMD',
  simd: 'plain SIMD',
  scalar: 'scalar',
}
export const variantLabel = (variant: KernelVariant): string => LABELS[variant]

/** `wanted` 'auto' takes the fastest that works; a named variant that does not work is `backend-unavailable`. */
export function chooseKernels(
  binaries: Record<KernelVariant, Uint8Array>,
  wanted: KernelVariant | 'auto',
): ChosenKernels {
  const scalar = compile(binaries.scalar)
  if (scalar === null) {
    throw new EngineError('backend-unavailable', 'This JavaScript engine cannot run the WebAssembly kernels.', {
      expected: 'WebAssembly with shared memory',
      remedy: 'Update Node to version 24 or newer.',
    })
  }
  const expected = runTestCases(instantiate(scalar, testMemory()))
  let reason: string | null = null
  for (const variant of ['relaxed-simd', 'simd'] as const) {
    if (wanted !== 'auto' && wanted !== variant) continue
    const module = compile(binaries[variant])
    const problem =
      module === null
        ? `this JavaScript engine has no ${LABELS[variant]}`
        : passesSelfTest(module, expected)
          ? null
          : `${LABELS[variant]} failed its self-test`
    if (module !== null && problem === null) return { variant, module, reason }
    if (wanted !== 'auto') {
      throw new EngineError('backend-unavailable', `The ${LABELS[variant]} kernels cannot be used: ${problem}.`, {
        remedy: 'Let Tern choose the kernels.',
      })
    }
    reason ??= problem
  }
  return { variant: 'scalar', module: scalar, reason }
}

function compile(binary: Uint8Array): WebAssembly.Module | null {
  const bytes = new Uint8Array(binary)
  return WebAssembly.validate(bytes) ? new WebAssembly.Module(bytes) : null
}

/**
 * Engines compile a function twice: quickly at first, well when it turns out to be used. Both must be right, so the cases
 * are repeated until the second form has had its chance.
 */
const ROUNDS = 12

function passesSelfTest(module: WebAssembly.Module, expected: Uint8Array): boolean {
  const kernels = instantiate(module, testMemory())
  for (let round = 0; round < ROUNDS; round++) {
    const actual = runTestCases(kernels)
    if (actual.some((byte, index) => byte !== expected[index])) return false
  }
  return true
}

const INPUTS = [3, 64, 1000, 4096]
/** Two streams of two blocks, and a block left over. */
const ROWS = 80
/** Pairs of tokens and one alone. */
const TOKENS = 5
const FLOATS = 203

/** Places in the test memory, behind the header. */
const WEIGHTS = 4096
const Q = WEIGHTS + matrixBytes(ROWS, 4096)
const META = Q + TOKENS * 4096
const OUT = META + 64
const OUT_BYTES = TOKENS * ROWS * 4
const X = OUT + OUT_BYTES
const WEIGHT = X + 1024
const STATE = WEIGHT + 1024
const RESULT = STATE + 1024
const TEST_BYTES = RESULT + 4096

let memory: WebAssembly.Memory | null = null
/** One small memory for all tests. */
function testMemory(): WebAssembly.Memory {
  memory ??= createMemory(TEST_BYTES, 1)
  return memory
}

/** Runs every kernel that has variants on fixed inputs, extremes among them; all results, byte after byte. */
function runTestCases(kernels: KernelExports): Uint8Array {
  const { buffer } = testMemory()
  kernels.writeConstants()
  const results: Uint8Array[] = []
  const keep = (address: number, length: number) => results.push(new Uint8Array(buffer, address, length).slice())

  for (const inputs of INPUTS) {
    for (const extreme of [false, true]) {
      const groups = inputGroups(inputs)
      fillWeights(new Uint8Array(buffer, WEIGHTS, matrixBytes(ROWS, inputs)), extreme)
      const rowBytes = groups * 4
      const meta = new Int32Array(buffer, META, 2 * TOKENS)
      for (let t = 0; t < TOKENS; t++) {
        const q = new Int8Array(buffer, Q + t * rowBytes, rowBytes).fill(0)
        for (let k = 0; k < inputs; k++)
          q[k] = extreme ? [-128, 127, k % 2 ? -128 : 127, -1, 0][t] : random(k + 7 * t) >> 24
        meta[2 * t + 1] = q.reduce((sum, value) => sum + value, 0)
      }
      kernels.gemv(WEIGHTS, Q, groups, meta[1], 0, ROWS / 16, OUT)
      keep(OUT, ROWS * 4)
      kernels.gemm(WEIGHTS, groups, 0, ROWS / 16, TOKENS, Q, rowBytes, META, OUT, ROWS * 4)
      keep(OUT, OUT_BYTES)
    }
  }

  const floats = (address: number, range: number, seed: number) => {
    const values = new Float32Array(buffer, address, FLOATS)
    for (let k = 0; k < FLOATS; k++) values[k] = (random(seed + k) / 2 ** 31) * range
  }
  floats(X, 9, 1)
  floats(WEIGHT, 2, 1000)
  floats(STATE, 1, 2000)
  kernels.rmsNorm(X, FLOATS, WEIGHT, 1e-6, RESULT)
  keep(RESULT, FLOATS * 4)
  kernels.absmaxQuantize(RESULT, FLOATS, Q, META)
  keep(Q, FLOATS)
  keep(META, 8)
  kernels.mlgru(X, WEIGHT, STATE, STATE, RESULT, 0, FLOATS)
  keep(RESULT, FLOATS * 4)
  kernels.sigmoidRange(RESULT, STATE, 0, FLOATS)
  kernels.mlgruOutput(X, RESULT, STATE, FLOATS, WEIGHT, 1e-6, OUT)
  keep(OUT, FLOATS * 4)
  kernels.glu(X, WEIGHT, 0, FLOATS)
  keep(X, FLOATS * 4)

  const all = new Uint8Array(results.reduce((sum, result) => sum + result.length, 0))
  let at = 0
  for (const result of results) {
    all.set(result, at)
    at += result.length
  }
  return all
}

/** Every code 2, or codes 0, 1 and 2 in no order. */
function fillWeights(bytes: Uint8Array, extreme: boolean): void {
  for (let at = 0; at < bytes.length; at++) {
    const r = random(at) >>> 0
    bytes[at] = extreme ? 0xaa : (r % 3) | (((r >>> 7) % 3) << 2) | (((r >>> 14) % 3) << 4) | (((r >>> 21) % 3) << 6)
  }
}

/** A fixed, well mixed int32 for every index. */
function random(index: number): number {
  let x = Math.imul(index + 1, 0x9e3779b1)
  x = Math.imul(x ^ (x >>> 15), 0x85ebca6b)
  return x ^ (x >>> 13)
}
