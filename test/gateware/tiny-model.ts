/** Made-up models of any shape: random weights of the right magnitudes, or extremes that reach every clamp. */
import type { FixedBlock, FixedLinear } from '../../engine/backends/fpga/fixed-point/weights.ts'
import { type Random, wholeBelow } from '../../engine/seeded-random.ts'

export interface Shape {
  /** Width, state width, intermediate size, layers. */
  readonly D: number
  readonly E: number
  readonly I: number
  readonly L: number
}

export function tinyModel(random: Random, { D, E, I, L }: Shape, isExtreme = false): { blocks: FixedBlock[] } {
  const vector = (length: number, make: () => number) => Int32Array.from({ length }, make)
  const isOdd = () => isExtreme && random() < 0.25
  const w1 = (length: number) => {
    const isZero = isOdd() && random() < 0.5
    return vector(length, () =>
      isZero ? 0 : isExtreme ? wholeBelow(random, 65_536) : 20_000 + wholeBelow(random, 45_536),
    )
  }
  const linear = (rows: number, columns: number, power: number): FixedLinear => {
    const only = isOdd() ? wholeBelow(random, 3) - 1 : null
    const isZero = isOdd() && random() < 0.2
    return {
      rows,
      columns,
      codes: Int8Array.from({ length: rows * columns }, () => only ?? wholeBelow(random, 3) - 1),
      w12: vector(columns, () => (isZero ? 0 : wholeBelow(random, 2 ** 18 - 1) - 2 ** 17 + 1)),
      C: 2 ** 15 + wholeBelow(random, 2 ** 15),
      ce: isExtreme ? power + wholeBelow(random, 12) - 3 : power,
    }
  }
  const block = (): FixedBlock => ({
    w1Mlgru: w1(D),
    w1Out: w1(E),
    w1Glu: w1(D),
    w1Down: new Int32Array(I).fill(2 ** 15),
    lowerBound: vector(E, () => wholeBelow(random, 2 ** 16)),
    outEpsilonShift: 2 * (14 + 15) - 40 + (isExtreme ? wholeBelow(random, 40) - 20 : 0),
    downEpsilon: { cm: 32_768 + wholeBelow(random, 32_768), cx: isExtreme ? wholeBelow(random, 60) : 22 },
    i: linear(E, D, -10),
    f: linear(E, D, -11),
    g: linear(E, D, -10),
    o: linear(D, E, -8),
    gateUp: linear(2 * I, D, -10),
    down: linear(D, I, -8),
  })
  return { blocks: Array.from({ length: L }, block) }
}

/** A residual as an embedding might be; or of an extreme kind. */
export function residual(random: Random, width: number, isExtreme = false): Int32Array {
  const kind = isExtreme ? wholeBelow(random, 5) : 4
  const most = 2 ** 31 - 1
  return Int32Array.from({ length: width }, (_, d) => {
    if (kind === 0) return 0
    if (kind === 1) return d === 3 ? most : 0
    if (kind === 2) return d % 2 === 0 ? most : -most
    if (kind === 3) return wholeBelow(random, 3) - 1
    return Math.floor((random() - 0.5) * 400_000)
  })
}
