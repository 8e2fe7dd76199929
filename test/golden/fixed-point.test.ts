/**
 * The accelerator's arithmetic against vectors of an independent program (numpy, every range asserted): unit functions, a
 * matrix of the embedded model, whole blocks, extremes that reach every saturation, the embedded model's integers and tokens.
 */
import { readFile } from 'node:fs/promises'
import { gunzipSync } from 'node:zlib'
import { beforeAll, describe, expect, it } from 'vitest'
import { absmaxQuantize } from '../../engine/backends/fpga/fixed-point/absmax-quantize.ts'
import {
  bitLength,
  divideRounded,
  integerRoot,
  reciprocal,
  root,
  roundShift,
  SIGMOID_TABLE,
  saturate,
  sigmoid,
  silu,
} from '../../engine/backends/fpga/fixed-point/arithmetic.ts'
import { bitLinear, outputScale } from '../../engine/backends/fpga/fixed-point/bitlinear.ts'
import { type BlockTrace, block, blocks } from '../../engine/backends/fpga/fixed-point/block.ts'
import { SATURATIONS, type SaturationFlags } from '../../engine/backends/fpga/fixed-point/flags.ts'
import { mix, openness } from '../../engine/backends/fpga/fixed-point/mlgru.ts'
import { shown } from '../../engine/backends/fpga/fixed-point/mlgru-output.ts'
import { rootOfSquares } from '../../engine/backends/fpga/fixed-point/rms-norm.ts'
import { stateFromFloat, stateToFloat } from '../../engine/backends/fpga/fixed-point/state.ts'
import { type FixedBlock, type FixedLinear, readFixedWeights } from '../../engine/backends/fpga/fixed-point/weights.ts'
import { openSafetensors } from '../../engine/formats/safetensors.ts'
import { memorySource } from '../byte-sources.ts'
import { openEmbeddedModel } from './golden-data.ts'

type Vector = Int32Array | Int8Array | Float32Array | Float64Array
interface Tensor {
  shape: readonly number[]
  values: Vector
}
const V = new Map<string, Tensor>()

beforeAll(async () => {
  const bytes = gunzipSync(await readFile(new URL('./data/tern-fixed-1/vectors.safetensors.gz', import.meta.url)))
  const file = await openSafetensors(memorySource(new Uint8Array(bytes)))
  for (const [name, { dtype, shape }] of file.tensors) {
    const { buffer } = new Uint8Array(await file.readBytes(name))
    const Type = { I8: Int8Array, I32: Int32Array, F32: Float32Array, F64: Float64Array }[dtype]!
    V.set(name, { shape, values: new Type(buffer) })
  }
})

const values = (name: string): number[] => Array.from(V.get(name)!.values)
/** Part `index` of the outermost dimension. */
const part = (name: string, index: number): Int32Array => {
  const { shape, values: all } = V.get(name)!
  const size = all.length / shape[0]
  return Int32Array.from(all.subarray(index * size, (index + 1) * size))
}
const whole = (name: string): Int32Array => Int32Array.from(V.get(name)!.values)
/** Vectors have no negative zero. */
const plain = (list: Iterable<number>): number[] => Array.from(list, value => value + 0)

/** `f` of the same elements of several vectors. */
function mapped(f: (...args: number[]) => number, ...names: string[]): number[] {
  const inputs = names.map(values)
  return inputs[0].map((_, i) => f(...inputs.map(input => input[i])) + 0)
}

describe('unit functions', () => {
  it.each([
    ['roundShift', (v: number, s: number) => roundShift(v, s), ['rsh_v', 'rsh_s'], 'rsh_out'],
    ['integerRoot', integerRoot, ['isqrt_n'], 'isqrt_out'],
    ['root: mantissa', (S: number) => root(S).mantissa, ['root_s'], 'root_r'],
    ['root: shift', (S: number) => root(S).shift, ['root_s'], 'root_k'],
    ['divideRounded', divideRounded, ['div_n', 'div_d'], 'div_out'],
    ['reciprocal', reciprocal, ['recip_m'], 'recip_out'],
    ['sigmoid', sigmoid, ['sigmoid_x'], 'sigmoid_out'],
    ['silu', silu, ['sigmoid_x'], 'silu_out'],
    ['mix', mix, ['update_h', 'update_c', 'update_nf'], 'update_out'],
    ['openness', (lb: number, f: number) => openness(f, lb), ['gate_lb', 'gate_f'], 'gate_nf'],
    ['shown', shown, ['hsig_h'], 'hsig_out'],
  ] as [string, (...args: number[]) => number, string[], string][])('%s', (_, f, inputs, expected) => {
    expect(mapped(f, ...inputs)).toEqual(values(expected))
  })

  it('the table of the sigmoid', () => {
    expect(SIGMOID_TABLE).toEqual(whole('sigmoid_table'))
  })

  it('the sigmoid is monotone and within 1.05 of 2^-16 everywhere', () => {
    let before = 0
    let worst = 0
    for (let x = -70_000; x <= 70_000; x++) {
      const y = sigmoid(x)
      expect(y).toBeGreaterThanOrEqual(before)
      before = y
      worst = Math.max(worst, Math.abs(y - 65_536 / (1 + Math.exp(-x / 4096))))
    }
    expect(worst).toBeLessThan(1.06)
  })

  it('a reciprocal brings every largest product to 127', () => {
    for (let M = 2 ** 16; M < 2 ** 17; M++) expect(roundShift(M * reciprocal(M), 26)).toBe(127)
  })

  it('an output is a sum times the scale, rounded and clamped', () => {
    const product = (sum: number, mantissa: number, shift: number) => roundShift(sum * mantissa, shift)
    const inputs = ['scalemul_sum', 'scalemul_mant', 'scalemul_so']
    expect(mapped(product, ...inputs)).toEqual(values('scalemul_out'))
    expect(mapped((...args) => saturate(product(args[0], args[1], args[2]), 24), ...inputs)).toEqual(
      values('scalemul_sat24'),
    )
    expect(mapped((...args) => saturate(product(args[0], args[1], args[2]), 32), ...inputs)).toEqual(
      values('scalemul_sat32'),
    )
  })

  it('scales', () => {
    const scales = values('scale_max').map((largest, j) => {
      const shift = bitLength(largest) - 17
      const M = Math.min(roundShift(largest, shift), 2 ** 17 - 1)
      const site = { ...root(values('scale_s')[j]), vShift: values('scale_sha')[j] }
      return outputScale(M, shift, site, { C: values('scale_c')[j], ce: values('scale_ce')[j] }, new Set())
    })
    expect(scales.map(({ mantissa }) => mantissa)).toEqual(values('scale_mant'))
    expect(scales.map(({ shift }) => shift)).toEqual(values('scale_so'))
  })

  it('int8 inputs', () => {
    const products = Float64Array.from(V.get('quantise_p')!.values)
    const rows = values('quantise_max').length
    const quantized = Array.from({ length: rows }, (_, row) => [
      ...absmaxQuantize(products.subarray(16 * row, 16 * row + 16)).q,
    ])
    expect(quantized.flat()).toEqual(values('quantise_q'))
  })
})

describe('states', () => {
  it('from float32: one rounding, half up, and clamped', () => {
    expect(Array.from(stateFromFloat(Float32Array.from(values('state_float'))))).toEqual(values('state_int'))
  })
  it('to float32: exact below 2^24 units', () => {
    expect(Array.from(stateToFloat(whole('state_int')))).toEqual(values('state_back'))
  })
  it('device, float32, device is the identity there', () => {
    const state = Int32Array.from({ length: 4001 }, (_, j) => (j - 2000) * 8388)
    expect(stateFromFloat(stateToFloat(state))).toEqual(state)
  })
  it.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])('%s is refused', value => {
    expect(() => stateFromFloat(Float32Array.of(0, value))).toThrow(expect.objectContaining({ code: 'state-corrupt' }))
  })
})

it('a matrix of the embedded model, with every value on the way', () => {
  const [C, ce, vShift, mantissa, shift, , scaleMantissa, scaleShift] = values('bitlinear_scalars')
  const v = whole('bitlinear_v')
  const site = rootOfSquares(v, whole('bitlinear_w1'), null)
  expect(site).toEqual({ mantissa, shift, vShift })
  const codes = Int8Array.from(V.get('bitlinear_codes')!.values)
  const linear = { rows: 768, columns: 768, codes, w12: whole('bitlinear_w12'), C, ce }
  const flags: SaturationFlags = new Set()
  const out = bitLinear(v, site, linear, flags, ({ q, sums, scale }) => {
    expect(plain(q)).toEqual(values('bitlinear_q'))
    expect(plain(sums)).toEqual(values('bitlinear_sums'))
    expect(scale).toEqual({ mantissa: scaleMantissa, shift: scaleShift })
  })
  expect(plain(out).map(value => saturate(value, 24))).toEqual(values('bitlinear_out'))
  expect(flags.size).toBe(0)
})

/** The weights of a block of the vectors; `at`: which of several. */
function blockOf(prefix: string, at: number | null): FixedBlock {
  const get = (name: string) => (at === null ? whole(prefix + name) : part(prefix + name, at))
  const linear = (name: string): FixedLinear => {
    const [C, ce] = get(`${name}_c`)
    const w12 = get(`${name}_w12`)
    const codes = Int8Array.from(get(`${name}_codes`))
    return { rows: codes.length / w12.length, columns: w12.length, codes, w12, C, ce }
  }
  const [outEpsilonShift, cm, cx] = get('eps')
  const down = linear('dn')
  return {
    w1Mlgru: get('w1a'),
    w1Out: get('w1o'),
    w1Glu: get('w1m'),
    w1Down: new Int32Array(down.columns).fill(2 ** 15),
    lowerBound: get('lb'),
    outEpsilonShift,
    downEpsilon: { cm, cx },
    i: linear('i'),
    f: linear('f'),
    g: linear('g'),
    o: linear('o'),
    gateUp: linear('gu'),
    down,
  }
}

it('a block with all its integers, three tokens', () => {
  const weights = blockOf('block_', null)
  const h = whole('block_h0')
  for (let t = 0; t < 3; t++) {
    const traces: BlockTrace[] = []
    const x2 = block(part('block_x', t), h, weights, new Set(), trace => traces.push(trace))
    const [{ i, f, g, v, x1, gateUp, z }] = traces
    const got = { i, f, g, h, v, x1, gu: gateUp, z, x2 }
    for (const [name, value] of Object.entries(got)) expect(value, name).toEqual(part(`block_out_${name}`, t))
  }
})

it('extremes: every saturation, vectors of zeros, weights of zero, clamped shifts', () => {
  const flags: SaturationFlags = new Set()
  const [cases, tokens, width] = V.get('ext_x')!.shape
  for (let n = 0; n < cases; n++) {
    const weights = blockOf('ext_', n)
    const h = part('ext_h0', n)
    const of = (name: string, t: number) => part(name, n).subarray(t * width, (t + 1) * width)
    for (let t = 0; t < tokens; t++) {
      const x2 = block(of('ext_x', t), h, weights, flags)
      expect(x2, `case ${n}, token ${t}`).toEqual(of('ext_out_x2', t))
      expect(h, `state of case ${n}, token ${t}`).toEqual(of('ext_out_h', t))
    }
  }
  expect([...flags].toSorted()).toEqual([...SATURATIONS].toSorted())
})

describe('the embedded model', () => {
  it('gives the same integers, and the first 16 tokens of a text the same states', async () => {
    const model = await openEmbeddedModel()
    const { blocks: weights, residualFraction } = await readFixedWeights(model)
    await model.close()
    expect(residualFraction).toBe(16)
    expect(weights.flatMap(({ lowerBound }) => [...lowerBound])).toEqual(values('model_lb'))
    const linears = weights.flatMap(({ i, f, g, o, gateUp, down }) => [i, f, g, o, gateUp, down])
    expect(linears.flatMap(({ C, ce }) => [C, ce])).toEqual(values('model_scale'))
    expect(weights.flatMap(({ outEpsilonShift, downEpsilon: { cm, cx } }) => [outEpsilonShift, cm, cx])).toEqual(
      values('model_eps'),
    )
    const { w1Mlgru, w1Out, w1Glu, i, f, g, o, gateUp, down } = weights[5]
    expect([w1Mlgru, w1Out, w1Glu]).toEqual(['a', 'o', 'm'].map(name => whole(`layer5_w1${name}`)))
    expect([i, f, g, o, gateUp, down].map(({ w12 }) => w12)).toEqual(
      ['i', 'f', 'g', 'o', 'gu', 'dn'].map(name => whole(`layer5_w12_${name}`)),
    )

    const state = new Int32Array(values('hidden_state').length)
    const flags: SaturationFlags = new Set()
    for (let t = 0; t < 16; t++) {
      expect(blocks(part('hidden_in', t), state, weights, flags), `token ${t}`).toEqual(part('hidden_out', t))
    }
    expect(state).toEqual(whole('hidden_state'))
    expect(flags.size).toBe(0)
  })
})
