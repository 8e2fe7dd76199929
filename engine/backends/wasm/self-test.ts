/**
 * Chooses the kernels at start: the fastest variant that this engine accepts and that computes what the scalar variant
 * computes. Some JavaScript engines accept relaxed SIMD and compute wrong sums with it. Which lanes the relaxed kernels
 * had best sum in depends on the processor, which no program here can ask: it is measured.
 */

import type { Clock } from '../../engine-environment.ts'
import { EngineError } from '../../errors.ts'
import { HEADER_BYTES } from './kernels/memory-layout.ts'
import type { KernelExports, KernelVariant } from './kernels.ts'
import { createMemory, inputGroups, instantiate, matrixBytes } from './kernels.ts'

export interface KernelBinaries {
  relaxedSimd: Uint8Array
  simd: Uint8Array
  scalar: Uint8Array
}

export interface ChosenKernels {
  variant: KernelVariant
  module: WebAssembly.Module
  /** Why not another variant, or null. */
  reason: string | null
}

const LABELS: Record<KernelVariant, string> = {
  'relaxed-simd': 'relaxed SIMD',
  'relaxed-simd-int16': 'relaxed SIMD in int16 lanes',
  simd: 'plain SIMD',
  scalar: 'scalar',
}
export const variantLabel = (variant: KernelVariant): string => LABELS[variant]

/**
 * `wanted` 'auto' takes the fastest that works; a named variant that does not work is `backend-unavailable`. All variants
 * compute the same bits.
 */
export function chooseKernels(binaries: KernelBinaries, wanted: KernelVariant | 'auto', clock: Clock): ChosenKernels {
  const scalar = compile(binaries.scalar)
  if (scalar === null) {
    throw new EngineError('backend-unavailable', 'This JavaScript engine cannot run the WebAssembly kernels.', {
      expected: 'WebAssembly with shared memory',
      remedy: 'Update Node to version 24 or newer.',
    })
  }
  if (wanted === 'scalar') return { variant: wanted, module: scalar, reason: null }

  const cases = PRODUCT_SHAPES.map(makeProductCase)
  const expected = new TestBench(scalar, 'scalar').run(cases)
  const problems: string[] = []
  /** The variant's module, or null with the reason in `problems`. */
  const tested = (variant: KernelVariant, binary: Uint8Array): WebAssembly.Module | null => {
    const module = compile(binary)
    if (module === null) problems.push(`this JavaScript engine has no ${LABELS[variant]}`)
    else if (passesSelfTest(module, variant, cases, expected)) return module
    else problems.push(`${LABELS[variant]} failed its self-test`)
    return null
  }

  const candidates: ChosenKernels[] = []
  for (const variant of ['relaxed-simd', 'relaxed-simd-int16', 'simd'] as const) {
    if (wanted !== 'auto' && wanted !== variant) continue
    // Plain SIMD is never faster.
    if (variant === 'simd' && candidates.length > 0) break
    const module = tested(variant, variant === 'simd' ? binaries.simd : binaries.relaxedSimd)
    if (module !== null) candidates.push({ variant, module, reason: problems[0] ?? null })
  }
  if (candidates.length === 2) return fasterLanes(candidates[0], candidates[1], clock)
  if (candidates.length === 1) return candidates[0]
  if (wanted !== 'auto') {
    throw new EngineError('backend-unavailable', `The kernels with ${LABELS[wanted]} cannot be used: ${problems[0]}.`, {
      remedy: 'Let Tern choose the kernels.',
    })
  }
  return { variant: 'scalar', module: scalar, reason: problems[0] }
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

function passesSelfTest(
  module: WebAssembly.Module,
  variant: KernelVariant,
  cases: readonly ProductCase[],
  expected: Uint8Array,
): boolean {
  const bench = new TestBench(module, variant)
  for (let round = 0; round < ROUNDS; round++) {
    const actual = bench.run(cases)
    if (actual.some((byte, index) => byte !== expected[index])) return false
  }
  return true
}

/** Turns of the race between two variants, each some tens of microseconds; the best of each counts. */
const RACE_TURNS = 24
/** How much faster int16 lanes must be: where both are alike, int32 lanes stay. */
const INT16_ADVANTAGE = 1.1

/** int32 lanes are best where the processor adds four products in one instruction, int16 lanes where it does not. */
function fasterLanes(int32: ChosenKernels, int16: ChosenKernels, clock: Clock): ChosenKernels {
  const benches = [int32, int16].map(({ module, variant }) => new TestBench(module, variant))
  const bestMs = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]
  for (let turn = 0; turn < RACE_TURNS; turn++) {
    for (const [index, bench] of benches.entries()) {
      const startMs = clock.nowMs()
      bench.multiply()
      bestMs[index] = Math.min(bestMs[index], clock.nowMs() - startMs)
    }
  }
  const advantage = bestMs[0] / bestMs[1]
  if (advantage < INT16_ADVANTAGE) return int32
  return { ...int16, reason: `${advantage.toFixed(1)} times as fast as int32 lanes here` }
}

/** Two streams of two blocks, and a block left over. */
const ROWS = 80
/** Pairs of tokens and one alone. */
const TOKENS = 5
const MAX_INPUTS = 4096
const FLOATS = 203

/** Places in the test memory, behind the header. */
const WEIGHTS = HEADER_BYTES
const Q = WEIGHTS + matrixBytes(ROWS, MAX_INPUTS)
const META = Q + TOKENS * MAX_INPUTS
const OUT = META + 64
const OUT_BYTES = TOKENS * ROWS * 4
const X = OUT + OUT_BYTES
const WEIGHT = X + 1024
const STATE = WEIGHT + 1024
const RESULT = STATE + 1024
const TEST_BYTES = RESULT + 4096

/** Numbers of inputs, and whether all numbers are the largest there are. */
const PRODUCT_SHAPES = [3, 64, 1000, MAX_INPUTS].flatMap(inputs => [
  { inputs, isExtreme: false },
  { inputs, isExtreme: true },
])

interface ProductCase {
  inputs: number
  weights: Uint8Array
  /** int8 [TOKENS, inputs padded to 4] */
  q: Int8Array
  /** A record of scale and sum for each token. */
  meta: Int32Array
}

function makeProductCase({ inputs, isExtreme }: (typeof PRODUCT_SHAPES)[number]): ProductCase {
  const rowBytes = inputGroups(inputs) * 4
  const q = new Int8Array(TOKENS * rowBytes)
  const meta = new Int32Array(2 * TOKENS)
  for (let t = 0; t < TOKENS; t++) {
    for (let k = 0; k < inputs; k++) {
      q[t * rowBytes + k] = isExtreme ? [-128, 127, k % 2 ? -128 : 127, -1, 0][t] : random(k + 7 * t) >> 24
      meta[2 * t + 1] += q[t * rowBytes + k]
    }
  }
  return { inputs, weights: makeWeights(matrixBytes(ROWS, inputs), isExtreme), q, meta }
}

/** A variant on a small memory of its own. */
class TestBench {
  private readonly buffer: ArrayBufferLike
  private readonly kernels: KernelExports

  constructor(module: WebAssembly.Module, variant: KernelVariant) {
    const memory = createMemory(TEST_BYTES, 1, variant)
    this.buffer = memory.buffer
    this.kernels = instantiate(module, memory)
    this.kernels.writeConstants()
  }

  /** Runs every kernel that has variants on fixed inputs, extremes among them; all results, byte after byte. */
  run(cases: readonly ProductCase[]): Uint8Array {
    const { buffer, kernels } = this
    const results: Uint8Array[] = []
    const keep = (address: number, length: number) => results.push(new Uint8Array(buffer, address, length).slice())

    for (const { inputs, weights, q, meta } of cases) {
      new Uint8Array(buffer, WEIGHTS, weights.length).set(weights)
      new Int8Array(buffer, Q, q.length).set(q)
      new Int32Array(buffer, META, meta.length).set(meta)
      const groups = inputGroups(inputs)
      kernels.gemv(WEIGHTS, Q, groups, meta[1], 0, ROWS / 16, OUT)
      keep(OUT, ROWS * 4)
      kernels.gemm(WEIGHTS, groups, 0, ROWS / 16, TOKENS, Q, groups * 4, META, OUT, ROWS * 4)
      keep(OUT, OUT_BYTES)
    }

    this.floats(X, 9, 1)
    this.floats(WEIGHT, 2, 1000)
    this.floats(STATE, 1, 2000)
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

  /** One large product of two tokens, for its time. */
  multiply(): void {
    this.kernels.gemm(WEIGHTS, inputGroups(MAX_INPUTS), 0, ROWS / 16, 2, Q, MAX_INPUTS, META, OUT, ROWS * 4)
  }

  private floats(address: number, range: number, seed: number): void {
    const values = new Float32Array(this.buffer, address, FLOATS)
    for (let k = 0; k < FLOATS; k++) values[k] = (random(seed + k) / 2 ** 31) * range
  }
}

/** Every code 2, or codes 0, 1 and 2 in no order. */
function makeWeights(length: number, isExtreme: boolean): Uint8Array {
  const bytes = new Uint8Array(length)
  for (let at = 0; at < length; at++) {
    const r = random(at) >>> 0
    bytes[at] = isExtreme ? 0xaa : (r % 3) | (((r >>> 7) % 3) << 2) | (((r >>> 14) % 3) << 4) | (((r >>> 21) % 3) << 6)
  }
  return bytes
}

/** A fixed, well mixed int32 for every index. */
function random(index: number): number {
  let x = Math.imul(index + 1, 0x9e3779b1)
  x = Math.imul(x ^ (x >>> 15), 0x85ebca6b)
  return x ^ (x >>> 13)
}
