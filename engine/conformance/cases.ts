/**
 * The one case table of single operations: awkward shapes, awkward values, fixed seeds. Every backend runs all of it
 * against the reference; the reference runs it against float64. A case is made when it runs, from the seed in its name.
 */
import type { BitLinearWeights, MlgruInput, OpTable, TernaryMatrix } from '../backends/ops.ts'
import { createRandom, normal, wholeBelow } from '../seeded-random.ts'

export type OpName = keyof OpTable
type OpArguments = { [Op in OpName]: Parameters<OpTable[Op]> }

export interface OpCase<Op extends OpName> {
  /** Operation, shape, values and seed. */
  name: string
  /** Tokens: results are that many rows. */
  tokens: number
  /** Numbers that no admitted model makes (model/numeric-domain.ts): exact where the arithmetic is the definition's. */
  isBeyondDomain: boolean
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
  /** The edge of the numeric domain, and one such number among ones. */
  edge: random => (2 * random() - 1) * 2 ** 60,
  'one edge': (_random, i) => (i % 29 === 7 ? 2 ** 60 : 1),
  /** The smallest normal numbers and the largest denormal ones. */
  brink: random => (0.5 + random()) * 2 ** -126,
  'beyond, 1e25': () => 1e25,
  'beyond, 2e25 among ones': (_random, i) => (i % 29 === 7 ? 2e25 : 1),
  'beyond, 1e38': random => normal(random) * 1e37,
  'beyond, largest': random => (random() < 0.5 ? -1 : 1) * 3.4028234663852886e38,
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
  return {
    name: `${op} ${what} (seed ${caseSeed})`,
    tokens: Number(/\bT=(\d+)/.exec(what)?.[1] ?? 1),
    isBeyondDomain: what.includes('beyond'),
    make: () => make(createRandom(caseSeed)),
  }
}

const floatOfBits = (bits: number): number => new Float32Array(new Uint32Array([bits]).buffer)[0]
const floatsOfHex = (hex: string): Float32Array =>
  Float32Array.from(hex.split(/\s+/), word => floatOfBits(Number.parseInt(word, 16)))

/**
 * Rows of nine whose root lies so near to the middle of two float32 that the order of the sum of squares decides it: one sum
 * after another, or float32 pairs, end at its neighbour, and with it most outputs.
 */
export const TIED_ROWS = [
  '3f280ac4 3f9584cf 3f1c063c 3fbcce59 3f9a2e09 3faf41fa 3f800002 3a08eb89 345908d5',
  '3f35cac0 3f85d1c6 3f157a89 3f850f3c 3f17d319 3f07bee7 3f800001 39f8253a 345908d5',
  '3f554676 3f33a69c 3f80cb96 3f4518a7 3fb4c674 3fa7a637 3f7fffff 39c7d015 343a9724',
].map(floatsOfHex)
const ONES_OF_NINE = new Float32Array(9).fill(1)

/**
 * Rows of sixteen near such a middle, where the order in which the eight sums are added up decides: each row alone tells it
 * from every other order in pairs of pairs, and from running sums forwards and backwards.
 */
const TIED_SUMS = [
  `bc09b183 3f71d623 3fc44ac7 becc1d5c 386c5b73 bf562c47 3f983b69 3d29517f
   3e839384 3da386d2 3f272b1b bec3d042 33b504f3 3fc34c46 3e5c9cfb bd2bf42f`,
  `3e2a7fa2 bfda340b 386ab3e1 be860cbd 3f87d8f8 3f820541 3eda7200 bdbf6dd1
   bdea1cea bd8c4b06 bdfc58d0 3d27615b bf94052d 339cc471 bf9e3d19 be9d4ae3`,
].map(floatsOfHex)

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
  ...TIED_SUMS.map((row, i) =>
    opCase('rmsNorm', `T=1 K=16 tied sum ${i + 1}`, () => [row, new Float32Array(16).fill(1), 1e-6]),
  ),
  ...TIED_ROWS.map((row, i) => opCase('rmsNorm', `T=1 K=9 tied root ${i + 1}`, () => [row, ONES_OF_NINE, 1e-6])),
  ...[1e-12, 0.5].flatMap(epsilon =>
    (['zero', 'tiny', 'normal'] as const).map(kind =>
      opCase('rmsNorm', `T=2 K=33 ${kind}, epsilon ${epsilon}`, random => [
        floats(random, 66, kind),
        normWeights(random, 33),
        epsilon,
      ]),
    ),
  ),
  // Denormals that a weight makes normal again: whoever takes them for zero gives zero.
  opCase('rmsNorm', 'T=1 K=16 denormal, weights 1e15', () => [
    new Float32Array(16).fill(1e-39),
    new Float32Array(16).fill(1e15),
    1e-6,
  ]),
  opCase('rmsNorm', 'T=1 K=16 denormal, weights beyond, 1e30', () => [
    new Float32Array(16).fill(1e-39),
    new Float32Array(16).fill(1e30),
    1e-6,
  ]),
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
  ...TIED_ROWS.map((row, i) =>
    opCase('bitLinear', `T=1 K=9 N=9 tied root ${i + 1}`, random => [
      row,
      { matrix: matrix(random, { T: 1, K: 9, N: 9 }, 'random', 1), inNorm: ONES_OF_NINE },
    ]),
  ),
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
  ...TIED_ROWS.map((row, i) =>
    opCase('mlgruOutput', `T=1 E=9 g tied root ${i + 1}`, () => [row, ONES_OF_NINE, ONES_OF_NINE, 1e-6]),
  ),
  opCase('mlgruOutput', 'T=1 E=3 h denormal, norm 1e15', () => [
    new Float32Array(3).fill(1),
    new Float32Array(3).fill(1e-39),
    new Float32Array(3).fill(1e15),
    1e-6,
  ]),
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
  opCase('glu', 'T=1 I=2 gate denormal, up 2^60', () => [Float32Array.of(1e-39, -1e-39, 2 ** 60, 2 ** 60), 2]),
  opCase('glu', 'T=1 I=1 gate denormal, up beyond, 1e38', () => [Float32Array.of(1e-39, 1e38), 1]),
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
