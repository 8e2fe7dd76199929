/** One block on one token, and the stack of them: what the device computes between embedding and final norm. */
import { saturate } from './arithmetic.ts'
import { type BitLinearTrace, bitLinear } from './bitlinear.ts'
import type { Saturation, SaturationFlags } from './flags.ts'
import { glu } from './glu.ts'
import { mlgru } from './mlgru.ts'
import { mlgruOutput } from './mlgru-output.ts'
import { type RootOfSquares, rootOfSquares } from './rms-norm.ts'
import type { FixedBlock, FixedLinear } from './weights.ts'

/** Every integer of a block, for holding the gateware against. */
export interface BlockTrace {
  readonly linears: Readonly<Record<'i' | 'f' | 'g' | 'o' | 'gateUp' | 'down', BitLinearTrace>>
  readonly i: Int32Array
  readonly f: Int32Array
  readonly g: Int32Array
  /** After the token. */
  readonly h: Int32Array
  readonly v: Int32Array
  /** After the first half of the block. */
  readonly x1: Int32Array
  readonly gateUp: Int32Array
  readonly z: Int32Array
}

/** 1e-6 mean g^2 as an integer factor of the sum: 67 / 2^26. */
const G_EPSILON = 67

/** x s32 [D]; h s28.16 [E] in place. Returns x after the block. */
export function block(
  x: Int32Array,
  h: Int32Array,
  weights: FixedBlock,
  flags: SaturationFlags,
  trace?: (values: BlockTrace) => void,
): Int32Array {
  const traces: Partial<Record<keyof BlockTrace['linears'], BitLinearTrace>> = {}
  const linear = (name: keyof BlockTrace['linears'], v: Int32Array, site: RootOfSquares, part: FixedLinear) =>
    bitLinear(
      v,
      site,
      part,
      flags,
      trace &&
        (values => {
          traces[name] = values
        }),
    )

  const ofTokens = rootOfSquares(x, weights.w1Mlgru, null)
  const i = saturated24(linear('i', x, ofTokens, weights.i), 'i', flags)
  const f = saturated24(linear('f', x, ofTokens, weights.f), 'f', flags)
  const g = saturated24(linear('g', x, ofTokens, weights.g), 'g', flags)
  mlgru(i, f, weights.lowerBound, h)
  const { v, sumOfG } = mlgruOutput(g, h, flags)
  const ofV = rootOfSquares(v, weights.w1Out, { cm: G_EPSILON * sumOfG, cx: weights.outEpsilonShift })
  const x1 = added(x, linear('o', v, ofV, weights.o), flags)
  const gateUp = saturated24(
    linear('gateUp', x1, rootOfSquares(x1, weights.w1Glu, null), weights.gateUp),
    'gateUp',
    flags,
  )
  const z = glu(gateUp, flags)
  const x2 = added(x1, linear('down', z, rootOfSquares(z, weights.w1Down, weights.downEpsilon), weights.down), flags)
  trace?.({ linears: traces as BlockTrace['linears'], i, f, g, h: h.slice(), v, x1, gateUp, z })
  return x2
}

/** x s32 [D] through all blocks; state s28.16 [L, E] in place. */
export function blocks(
  x: Int32Array,
  state: Int32Array,
  weights: readonly FixedBlock[],
  flags: SaturationFlags,
  trace?: (layer: number, values: BlockTrace) => void,
): Int32Array {
  const width = state.length / weights.length
  let hidden = x
  for (const [layer, block_] of weights.entries()) {
    const h = state.subarray(layer * width, (layer + 1) * width)
    hidden = block(hidden, h, block_, flags, trace && (values => trace(layer, values)))
  }
  return hidden
}

function saturated24(values: Float64Array, name: Saturation, flags: SaturationFlags): Int32Array {
  return Int32Array.from(values, exact => {
    const value = saturate(exact, 24)
    if (value !== exact) flags.add(name)
    return value
  })
}

function added(x: Int32Array, change: Float64Array, flags: SaturationFlags): Int32Array {
  return x.map((value, d) => {
    const exact = value + change[d]
    const sum = saturate(exact, 32)
    if (sum !== exact) flags.add('x')
    return sum
  })
}
