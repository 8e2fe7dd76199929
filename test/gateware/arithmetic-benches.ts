/** Benches of the arithmetic modules: their vectors, made by the golden model from a seed, extremes among them. */
import {
  bitLength,
  divideRounded,
  reciprocal,
  root,
  roundShift,
  saturate,
  sigmoid,
  silu,
} from '../../engine/backends/fpga/fixed-point/arithmetic.ts'
import { glu } from '../../engine/backends/fpga/fixed-point/glu.ts'
import { mlgru } from '../../engine/backends/fpga/fixed-point/mlgru.ts'
import { mlgruOutput } from '../../engine/backends/fpga/fixed-point/mlgru-output.ts'
import { ternaryMatmul } from '../../engine/backends/fpga/fixed-point/ternary-matmul.ts'
import { base3Words, twoBitWords } from '../../engine/backends/fpga/program.ts'
import { createRandom, type Random, wholeBelow } from '../../engine/seeded-random.ts'
import { type Field, packed } from './bits.ts'

export interface Bench {
  /** Of the module `bench_<module>`. */
  readonly module: string
  readonly parameters: Readonly<Record<string, number>>
  /** By the parameter that names the file. */
  readonly vectors: Readonly<Record<string, readonly string[]>>
}

const CASES = 250

/** Uniform in the bit length, so that small values are as frequent as large ones; extremes are one in eight. */
function signed(random: Random, bits: number): number {
  const most = 2 ** (bits - 1) - 1
  const pick = wholeBelow(random, 16)
  if (pick < 2) return [most, -most][pick]
  const size = 2 ** wholeBelow(random, bits)
  const value = Math.min(Math.floor(random() * size), most)
  return random() < 0.5 ? value : -value
}
const unsigned = (random: Random, bits: number): number => Math.abs(signed(random, bits + 1))
const below = (random: Random, from: number, to: number): number => from + wholeBelow(random, to - from + 1)

function bench(
  module: string,
  parameters: Record<string, number>,
  cases: readonly { readonly given: readonly Field[]; readonly expected: readonly Field[] }[],
): Bench {
  return {
    module,
    parameters: { COUNT: cases.length, ...parameters },
    vectors: { IN: cases.map(({ given }) => packed(given)), OUT: cases.map(({ expected }) => packed(expected)) },
  }
}
const times = <T>(count: number, make: () => T): T[] => Array.from({ length: count }, make)

export function arithmeticBenches(seed: number): Bench[] {
  const random = createRandom(seed)
  return [
    ...(
      [
        [32, 18],
        [28, 24],
        [29, 18],
        [17, 17],
        [18, 18],
        [21, 18],
      ] as const
    ).map(([a, b]) => multiply(random, a, b)),
    ...(
      [
        [50, 5, 18],
        [66, 6, 18],
        [39, 6, 39],
        [52, 4, 32],
        [28, 3, 24],
        [24, 3, 17],
      ] as const
    ).map(([input, shift, output]) => roundShifts(random, input, shift, output)),
    divide(random),
    rootBench(random),
    siluBench(random),
    mlgruElement(random),
    gluElement(random),
    ...[0, 1, 13, 30].map(shift => squareTerm(random, shift)),
    ...[-16, -1, 0, 11, 31].map(shift => quantiseElement(random, shift)),
    requantise(random),
    ...[8, 16, 64].flatMap(lanes => [unpack(random, lanes, false), unpack(random, lanes, true)]),
    ...(
      [
        [16, 1, 1, 3],
        [8, 2, 2, 4],
        [32, 2, 1, 2],
        [64, 4, 3, 1],
        [16, 4, 4, 5],
      ] as const
    ).map(([lanes, batch, tokens, beats]) => ternaryMatvec(random, lanes, batch, tokens, beats)),
  ]
}

function multiply(random: Random, aBits: number, bBits: number): Bench {
  const cases = times(CASES, () => {
    const [a, b] = [signed(random, aBits), signed(random, bBits)]
    const product = BigInt(a) * BigInt(b)
    return {
      given: [
        [aBits, a],
        [bBits, b],
      ] as Field[],
      expected: [[aBits + bBits, product]] as Field[],
    }
  })
  return bench('multiply', { A_BITS: aBits, B_BITS: bBits }, cases)
}

/** The golden model's numbers end at 2^51: wider ones by whole numbers of any size. */
function roundShifts(random: Random, inputBits: number, shiftBits: number, outputBits: number): Bench {
  const most = 2n ** BigInt(outputBits - 1) - 1n
  // What is just allowed and just not.
  const edges = [most - 1n, most, most + 1n].filter(value => value < 1n << BigInt(inputBits - 1)).flatMap(v => [v, -v])
  const others = times(
    CASES,
    () => BigInt(signed(random, Math.min(inputBits, 51))) << BigInt(Math.max(inputBits - 51, 0)),
  )
  const cases = [...edges, ...others].map((value, at) => {
    const shift = at < edges.length ? 0 : wholeBelow(random, 2 ** shiftBits)
    const exact = shift === 0 ? value : (value + (1n << BigInt(shift - 1))) >> BigInt(shift)
    const clamped = exact > most ? most : exact < -most ? -most : exact
    return {
      given: [
        [inputBits, value],
        [shiftBits, shift],
      ] as Field[],
      expected: [
        [outputBits, clamped],
        [1, clamped !== exact],
      ] as Field[],
    }
  })
  return bench('round_shift', { IN_BITS: inputBits, SHIFT_BITS: shiftBits, OUT_BITS: outputBits }, cases)
}

function divide(random: Random): Bench {
  const cases = times(CASES / 5, () => {
    const numerator = unsigned(random, 36)
    const divisor = below(random, 2 ** 16, 2 ** 17 - 1)
    return {
      given: [
        [36, numerator],
        [17, divisor],
      ] as Field[],
      expected: [[36, divideRounded(numerator, divisor)]] as Field[],
    }
  })
  return bench('divide', {}, cases)
}

function rootBench(random: Random): Bench {
  const squares = [1, 2, 3, 4, 2 ** 46 - 1, 2 ** 46, 2 ** 47, 2 ** 48 - 1]
  const cases = [...squares, ...times(CASES / 5, () => Math.max(1, unsigned(random, 48)))].map(S => {
    const { mantissa, shift } = root(S)
    return {
      given: [[48, S]] as Field[],
      expected: [
        [17, mantissa],
        [6, shift],
      ] as Field[],
    }
  })
  return bench('root', {}, cases)
}

function siluBench(random: Random): Bench {
  const edges = [0, 1, -1, 63, 64, -64, -65, 65_535, 65_536, -65_535, -65_536]
  // A place in every segment of the table.
  const segments = Array.from({ length: 1024 }, (_, j) => (64 * j + wholeBelow(random, 64)) * (random() < 0.5 ? -1 : 1))
  const cases = [...edges, ...segments, ...times(CASES, () => signed(random, 24))].map(x => ({
    given: [[24, x]] as Field[],
    expected: [
      [17, sigmoid(x)],
      [28, silu(x)],
    ] as Field[],
  }))
  return bench('silu', {}, cases)
}

function mlgruElement(random: Random): Bench {
  const cases = times(CASES * 2, () => {
    const [i, f, g] = times(3, () => Int32Array.of(signed(random, 24)))
    const lowerBound = Int32Array.of(unsigned(random, 16))
    const h = Int32Array.of(signed(random, 28))
    const given: Field[] = [
      [24, i[0]],
      [24, f[0]],
      [24, g[0]],
      [16, lowerBound[0]],
      [28, h[0]],
    ]
    mlgru(i, f, lowerBound, h)
    const flags = new Set<'v'>()
    const { v, sumOfG } = mlgruOutput(g, h, flags as Set<never>)
    return {
      given,
      expected: [
        [28, h[0]],
        [32, v[0]],
        [1, flags.has('v')],
        [32, sumOfG],
      ] as Field[],
    }
  })
  return bench('mlgru_element', {}, cases)
}

function gluElement(random: Random): Bench {
  const cases = times(CASES * 2, () => {
    const gateUp = Int32Array.of(signed(random, 24), signed(random, 24))
    const flags = new Set<never>()
    const z = glu(gateUp, flags)
    return {
      given: [
        [24, gateUp[0]],
        [24, gateUp[1]],
      ] as Field[],
      expected: [
        [32, z[0]],
        [1, flags.size > 0],
      ] as Field[],
    }
  })
  return bench('glu_element', {}, cases)
}

function squareTerm(random: Random, shift: number): Bench {
  const cases = times(CASES, () => {
    const [v, w1] = [signed(random, 32), unsigned(random, 16)]
    const t = saturate(roundShift(v * w1, shift), 18)
    return {
      given: [
        [32, v],
        [16, w1],
      ] as Field[],
      expected: [[35, BigInt(t) * BigInt(t)]] as Field[],
    }
  })
  return bench('square_term', { SHIFT: shift }, cases)
}

/** Values of a vector whose largest product has `shift` + 17 bits. */
function quantiseElement(random: Random, shift: number): Bench {
  const bits = shift + 17
  const M = below(random, 2 ** 16, 2 ** 17 - 1)
  const cases = times(CASES, () => {
    const vBits = Math.max(2, Math.min(32, bits - below(random, 0, 17)))
    const [v, w12] = [
      signed(random, vBits),
      signed(random, Math.max(2, Math.min(18, bits - bitLength(2 ** (vBits - 2))))),
    ]
    const product = v * w12
    const p = saturate(roundShift(product, shift), 18)
    const q = saturate(roundShift(p * reciprocal(M), 26), 8)
    return {
      given: [
        [32, v],
        [18, w12],
      ] as Field[],
      expected: [
        [49, Math.abs(product)],
        [8, q],
      ] as Field[],
    }
  })
  return bench('quantise_element', { SHIFT: shift, RECIPROCAL: reciprocal(M) }, cases)
}

function requantise(random: Random): Bench {
  const cases = times(CASES * 2, () => {
    const sum = signed(random, 21)
    const mantissa = random() < 0.1 ? 0 : below(random, 2 ** 15, 2 ** 16 - 1)
    const shift = wholeBelow(random, 63)
    const isResidual = random() < 0.5
    const residual = signed(random, 32)
    const tag = wholeBelow(random, 256)
    const exact = roundShift(sum * mantissa, shift) + (isResidual ? residual : 0)
    const value = saturate(exact, isResidual ? 32 : 24)
    return {
      given: [
        [21, sum],
        [16, mantissa],
        [6, shift],
        [1, isResidual],
        [32, residual],
        [8, tag],
      ] as Field[],
      expected: [
        [32, value],
        [1, value !== exact],
        [8, tag],
      ] as Field[],
    }
  })
  return bench('requantise_element', {}, cases)
}

const trit = (random: Random): number => wholeBelow(random, 3) - 1
/** Two bits of a code: nonzero below, negative above. */
const codeFields = (codes: ArrayLike<number>): Field[] => Array.from(codes, code => [2, code & 3] as Field).reverse()

function unpack(random: Random, lanes: number, isBase3: boolean): Bench {
  // An even number of groups, so that the words of 13 bytes come out whole, and every pass begins as the first.
  const codes = Int8Array.from({ length: 64 * 2 * below(random, 5, 10) }, () => trit(random))
  const words = (isBase3 ? base3Words : twoBitWords)(codes, 1, codes.length)
  const beats = Array.from({ length: codes.length / lanes }, (_, beat) =>
    codes.subarray(beat * lanes, (beat + 1) * lanes),
  )
  return {
    module: 'unpack',
    parameters: { COUNT: words.length, OUT_COUNT: beats.length, LANES: lanes, BASE3: isBase3 ? 1 : 0 },
    vectors: {
      IN: Array.from(words, word => packed([[16, word]])),
      OUT: beats.map(beat => packed(codeFields(beat))),
    },
  }
}

function ternaryMatvec(random: Random, lanes: number, batch: number, tokens: number, beats: number): Bench {
  const K = lanes * beats
  const rows = below(random, 20, 40)
  // Rows of all ones and of all minus ones meet inputs of all +127 and -127.
  const codes = Int8Array.from({ length: rows * K }, (_, at) => {
    const row = Math.floor(at / K)
    return row < 2 ? 1 - 2 * row : trit(random)
  })
  const inputs = Array.from({ length: tokens }, (_, token) =>
    Int8Array.from({ length: K }, () => (token === 0 && rows % 2 === 0 ? 127 : below(random, -127, 127))),
  )
  const sums = inputs.map(q => {
    const result = new Int32Array(rows)
    ternaryMatmul(codes, q, result)
    return result
  })
  const beatsOf = (values: Int8Array, bits: number): string[] =>
    Array.from({ length: values.length / lanes }, (_, beat) => {
      const lane = Array.from(values.subarray(beat * lanes, (beat + 1) * lanes))
      return packed(lane.map(value => [bits, value] as Field).reverse())
    })
  return {
    module: 'ternary_matvec',
    parameters: {
      COUNT: rows * beats,
      OUT_COUNT: rows * tokens,
      LANES: lanes,
      BATCH: batch,
      BEATS: beats,
      TOKENS: tokens,
      INPUTS: 512,
    },
    vectors: {
      IN: beatsOf(codes, 2),
      Q: inputs.flatMap(q => beatsOf(q, 8)),
      OUT: Array.from({ length: rows * tokens }, (_, at) =>
        packed([
          [2, at % tokens],
          [21, sums[at % tokens][Math.floor(at / tokens)]],
        ]),
      ),
    },
  }
}
