/** A ternary matrix on a norm's output: int8 inputs, sums, and one scale of 16 bits and a shift for all of them. */
import { absmaxQuantize } from './absmax-quantize.ts'
import { bitLength, divideRounded, roundShift } from './arithmetic.ts'
import type { SaturationFlags } from './flags.ts'
import type { RootOfSquares } from './rms-norm.ts'
import { ternaryMatmul } from './ternary-matmul.ts'
import type { FixedLinear } from './weights.ts'

/** A sum times mantissa 2^-shift is an output. */
export interface OutputScale {
  /** u16 in 2^15..2^16 - 1, or 0 */
  readonly mantissa: number
  /** u6 */
  readonly shift: number
}

/** What a BitLinear computed on its way: for tests and for the gateware's benches. */
export interface BitLinearTrace {
  readonly q: Int8Array
  readonly sums: Int32Array
  readonly scale: OutputScale
}

const MAX_SHIFT = 62

/** v s32 [K] as the root was taken of; outputs [N] before saturation, integers in float64. */
export function bitLinear(
  v: Int32Array,
  site: RootOfSquares,
  linear: FixedLinear,
  flags: SaturationFlags,
  trace?: (values: BitLinearTrace) => void,
): Float64Array {
  const { q, M, shift } = absmaxQuantize(Float64Array.from(v, (value, k) => value * linear.w12[k]))
  const sums = new Int32Array(linear.rows)
  ternaryMatmul(linear.codes, q, sums)
  const scale = M === 0 ? { mantissa: 0, shift: 1 } : outputScale(M, shift, site, linear, flags)
  trace?.({ q, sums, scale })
  const factor = scale.mantissa * 2 ** -scale.shift
  // Without a shift there is no half to round: the product is whole.
  return Float64Array.from(sums, sum => Math.floor(sum * factor + 0.5))
}

/** C 2^ce M 2^shift / (root 2^vShift), normalised to 16 bits. */
export function outputScale(
  M: number,
  shift: number,
  site: RootOfSquares,
  { C, ce }: Pick<FixedLinear, 'C' | 'ce'>,
  flags: SaturationFlags,
): OutputScale {
  const quotient = divideRounded(8 * C * M, site.mantissa)
  let cut = bitLength(quotient) - 16
  let mantissa = roundShift(quotient, cut)
  if (mantissa === 65_536) {
    mantissa = 32_768
    cut++
  }
  const wanted = 10 - cut - ce - shift - site.shift / 2 + site.vShift
  if (wanted < 0) flags.add('scale')
  return { mantissa, shift: Math.min(Math.max(wanted, 0), MAX_SHIFT) }
}
