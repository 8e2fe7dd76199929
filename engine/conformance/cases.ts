/**
 * The one case table of single operations: awkward shapes, awkward values, fixed seeds. Every backend runs all of it
 * against the reference; the reference runs it against float64. A case is made when it runs, from the seed in its name.
 */
import type { BitLinearWeights, MlgruInput, OpTable, TernaryMatrix } from '../backends/ops.ts'
import { createRandom, normal, wholeBelow } from './random.ts'

export type OpName = keyof OpTable
export type OpArguments = { [Op in OpName]: Parameters<OpTable[Op]> }

export interface OpCase<Op extends OpName> {
  /** Operation, shape, values and seed. */
  name: string
  make(): OpArguments[Op]
}

type Shape = { T: number; K: number; N: number }

/** Every awkward K, N and T occurs, and the block widths and their neighbours; not every combination. */
const MATRIX_SHAPES: Shape[] = [
  { T: 1, K: 1, N: 1 },
  { T: 2, K: 3, N: 2 },
  { T: 3, K: 4, N: 3 },
  { T: 5, K: 5, N: 5 },
  { T: 7, K: 15, N: 15 },
  { T: 64, K: 16, N: 16 },
  { T: 1, K: 17, N: 17 },
  { T: 2, K: 31, N: 33 },
  { T: 3, K: 63, N: 331 },
  { T: 5, K: 80, N: 160 },
  { T: 64, K: 208, N: 80 },
  { T: 1, K: 255, N: 331 },
  { T: 7, K: 256, N: 33 },
  { T: 64, K: 257, N: 17 },
  { T: 1, K: 2048, N: 331 },
  { T: 3, K: 2048, N: 16 },
  { T: 1, K: 2816, N: 5 },
  { T: 5, K: 2816, N: 33 },
]

/** Rows of K with T of them; the shapes of everything that has no N. */
const ROW_SHAPES = MATRIX_SHAPES.map(({ T, K }) => ({ T, K }))

/** How the numbers of an input look. Random ones are float32 by being stored as such. */
const VALUES = {
  normal: random => normal(random),
  zero: () => 0,
  one: () => 1,
  negative: random => -1 - random(),
  huge: random => normal(random) * 1e18,
  tiny: random => normal(random) * 1e-20,
  denormal: random => normal(random) * 1e-40,
  outlier: (random, i) => (i % 97 === 3 ? 1e4 : normal(random)),
  ties: random => (wholeBelow(random, 511) - 255) / 2,
} satisfies Record<string, (random: () => number, index: number) => number>
type ValueKind = keyof typeof VALUES
const ALL_VALUES = Object.keys(VALUES) as ValueKind[]

/** How the weights of a matrix look. */
const CODES = {
  random: random => wholeBelow(random, 3) - 1,
  zero: () => 0,
  plus: () => 1,
  minus: () => -1,
  'zero rows': (random, row) => (row % 2 === 0 ? 0 : wholeBelow(random, 3) - 1),
  sparse: random => (random() < 0.02 ? 1 : 0),
  alternating: (_random, row, column) => ((row + column) % 2 === 0 ? 1 : -1),
} satisfies Record<string, (random: () => number, row: number, column: number) => number>
type CodeKind = keyof typeof CODES
const ALL_CODES = Object.keys(CODES) as CodeKind[]

/** Activations of the bare ternary product. */
const QUANTIZED = {
  random: random => wholeBelow(random, 256) - 128,
  lowest: () => -128,
  highest: () => 127,
  zero: () => 0,
  alternating: (_random, i) => (i % 2 === 0 ? -128 : 127),
} satisfies Record<string, (random: () => number, index: number) => number>
type QuantizedKind = keyof typeof QUANTIZED

const floats = (random: () => number, length: number, kind: ValueKind): Float32Array =>
  Float32Array.from({ length }, (_, i) => VALUES[kind](random, i))

/** Norm weights around 1, as trained ones are. */
const normWeights = (random: () => number, length: number): Float32Array =>
  Float32Array.from({ length }, () => 0.5 + random())

function matrix(random: () => number, { K, N }: Shape, kind: CodeKind, scale: number): TernaryMatrix {
  const codes = Int8Array.from({ length: N * K }, (_, i) => CODES[kind](random, Math.floor(i / K), i % K))
  return { rows: N, columns: K, codes, scale: Math.fround(scale) }
}

let seed = 0x7e41
function opCase<Op extends OpName>(op: Op, what: string, make: (random: () => number) => OpArguments[Op]): OpCase<Op> {
  const caseSeed = seed++
  return { name: `${op} ${what} (seed ${caseSeed})`, make: () => make(createRandom(caseSeed)) }
}

const rmsNormCases = [
  ...ROW_SHAPES.map(({ T, K }) =>
    opCase('rmsNorm', `T=${T} K=${K} normal`, random => [
      floats(random, T * K, 'normal'),
      normWeights(random, K),
      1e-6,
    ]),
  ),
  ...ALL_VALUES.map(kind =>
    opCase('rmsNorm', `T=3 K=80 ${kind}`, random => [floats(random, 240, kind), normWeights(random, 80), 1e-6]),
  ),
]

const absmaxQuantizeCases = [
  ...ROW_SHAPES.map(({ T, K }) =>
    opCase('absmaxQuantize', `T=${T} K=${K} normal`, random => [floats(random, T * K, 'normal'), K]),
  ),
  ...ALL_VALUES.map(kind => opCase('absmaxQuantize', `T=3 K=257 ${kind}`, random => [floats(random, 771, kind), 257])),
]

const matmulCase = (shape: Shape, q: QuantizedKind, codes: CodeKind): OpCase<'ternaryMatmul'> =>
  opCase('ternaryMatmul', `T=${shape.T} K=${shape.K} N=${shape.N} q ${q}, codes ${codes}`, random => [
    Int8Array.from({ length: shape.T * shape.K }, (_, i) => QUANTIZED[q](random, i)),
    matrix(random, shape, codes, 1),
  ])

const ternaryMatmulCases = [
  ...MATRIX_SHAPES.map(shape => matmulCase(shape, 'random', 'random')),
  ...(['lowest', 'highest', 'zero'] as const).flatMap(q =>
    ALL_CODES.flatMap(codes =>
      [
        { T: 2, K: 2816, N: 17 },
        { T: 1, K: 31, N: 5 },
      ].map(shape => matmulCase(shape, q, codes)),
    ),
  ),
  // Sums in int16 lanes must be widened before 32768: as long a row as any model's, and one input more than a run of groups.
  ...(['lowest', 'highest', 'alternating'] as const).flatMap(q =>
    (['plus', 'minus', 'alternating'] as const).flatMap(codes =>
      [
        { T: 1, K: 65_537, N: 17 },
        { T: 3, K: 65, N: 49 },
      ].map(shape => matmulCase(shape, q, codes)),
    ),
  ),
]

const bitLinearCase = (shape: Shape, x: ValueKind, codes: CodeKind, scale: number): OpCase<'bitLinear'> =>
  opCase('bitLinear', `T=${shape.T} K=${shape.K} N=${shape.N} x ${x}, codes ${codes}, scale ${scale}`, random => {
    const weights: BitLinearWeights = {
      matrix: matrix(random, shape, codes, scale),
      inNorm: normWeights(random, shape.K),
    }
    return [floats(random, shape.T * shape.K, x), weights]
  })

const AWKWARD_SHAPE = { T: 3, K: 208, N: 33 }
const bitLinearCases = [
  ...MATRIX_SHAPES.map(shape => bitLinearCase(shape, 'normal', 'random', 0.02)),
  ...ALL_VALUES.map(x => bitLinearCase(AWKWARD_SHAPE, x, 'random', 0.02)),
  ...ALL_CODES.map(codes => bitLinearCase(AWKWARD_SHAPE, 'normal', codes, 0.02)),
  ...[1e-5, 1, 1e6, 1e-20, 1e20].map(scale => bitLinearCase(AWKWARD_SHAPE, 'normal', 'random', scale)),
]

/** Widths of the recurrent state; its sequences are longer than those of matrices. */
const mlgruCase = (T: number, E: number, bounded: boolean, kind: ValueKind, state: ValueKind): OpCase<'mlgru'> =>
  opCase('mlgru', `T=${T} E=${E} ${bounded ? 'bounded' : 'no bound'}, inputs ${kind}, state ${state}`, random => {
    const input: MlgruInput = {
      input: floats(random, T * E, kind),
      forget: floats(random, T * E, kind),
      lowerBound: bounded ? Float32Array.from({ length: E }, () => random()) : null,
      state: floats(random, E, state),
    }
    return [input]
  })

const mlgruCases = [
  ...ROW_SHAPES.flatMap(({ T, K }) => [true, false].map(bounded => mlgruCase(T, K, bounded, 'normal', 'normal'))),
  ...ALL_VALUES.map(kind => mlgruCase(7, 33, true, kind, 'normal')),
  mlgruCase(64, 17, false, 'normal', 'zero'),
  mlgruCase(3, 17, true, 'zero', 'denormal'),
]

const mlgruOutputCases = [
  ...ROW_SHAPES.map(({ T, K }) =>
    opCase('mlgruOutput', `T=${T} E=${K} normal`, random => [
      floats(random, T * K, 'normal'),
      floats(random, T * K, 'normal'),
      normWeights(random, K),
      1e-6,
    ]),
  ),
  ...ALL_VALUES.map(kind =>
    opCase('mlgruOutput', `T=2 E=63 h ${kind}`, random => [
      floats(random, 126, 'normal'),
      floats(random, 126, kind),
      normWeights(random, 63),
      1e-6,
    ]),
  ),
]

const gluCases = [
  ...ROW_SHAPES.map(({ T, K }) =>
    opCase('glu', `T=${T} I=${K} normal`, random => [floats(random, 2 * T * K, 'normal'), K]),
  ),
  ...ALL_VALUES.map(kind => opCase('glu', `T=2 I=63 ${kind}`, random => [floats(random, 252, kind), 63])),
]

export const OP_CASES: { [Op in OpName]: OpCase<Op>[] } = {
  rmsNorm: rmsNormCases,
  absmaxQuantize: absmaxQuantizeCases,
  ternaryMatmul: ternaryMatmulCases,
  bitLinear: bitLinearCases,
  mlgru: mlgruCases,
  mlgruOutput: mlgruOutputCases,
  glu: gluCases,
}
