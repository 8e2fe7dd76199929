/** Made-up models of any shape: random weights of the right magnitudes, or extreme ones. */
import type { FixedBlock, FixedLinear } from '../../engine/backends/fpga/fixed-point/weights.ts'
import { type Random, wholeBelow } from '../../engine/seeded-random.ts'

export interface Shape {
  readonly D: number
  readonly E: number
  readonly I: number
  readonly L: number
}

export function tinyModel(random: Random, { D, E, I, L }: Shape): { blocks: FixedBlock[] } {
  const vector = (length: number, make: () => number) => Int32Array.from({ length }, make)
  const w1 = (length: number) => vector(length, () => 20_000 + wholeBelow(random, 45_536))
  const linear = (rows: number, columns: number, power: number): FixedLinear => ({
    rows,
    columns,
    codes: Int8Array.from({ length: rows * columns }, () => wholeBelow(random, 3) - 1),
    w12: vector(columns, () => wholeBelow(random, 2 ** 18 - 1) - 2 ** 17 + 1),
    C: 2 ** 15 + wholeBelow(random, 2 ** 15),
    ce: power,
  })
  const block = (): FixedBlock => ({
    w1Mlgru: w1(D),
    w1Out: w1(E),
    w1Glu: w1(D),
    w1Down: new Int32Array(I).fill(2 ** 15),
    lowerBound: vector(E, () => wholeBelow(random, 2 ** 16)),
    outEpsilonShift: 2 * (14 + 15) - 40,
    downEpsilon: { cm: 40_000, cx: 22 },
    i: linear(E, D, -10),
    f: linear(E, D, -11),
    g: linear(E, D, -10),
    o: linear(D, E, -8),
    gateUp: linear(2 * I, D, -10),
    down: linear(D, I, -8),
  })
  return { blocks: Array.from({ length: L }, block) }
}
