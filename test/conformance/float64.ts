/**
 * The single operations again, in float64 and straight from the model's description, written apart from the reference
 * so that the reference has something to be held against.
 */
import type { BitLinearWeights, MlgruInput, Quantized, TernaryMatrix } from '../../engine/backends/ops.ts'

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x))

/** Rows of `width` numbers. */
function rows(values: ArrayLike<number>, width: number): number[][] {
  const array = Array.from(values)
  return Array.from({ length: array.length / width }, (_, t) => array.slice(t * width, (t + 1) * width))
}

export function rmsNorm(x: Float32Array, weight: Float32Array, epsilon: number): number[] {
  return rows(x, weight.length).flatMap(row => {
    const mean = row.map(value => value ** 2).reduce((a, b) => a + b) / row.length
    return row.map((value, k) => (value / Math.sqrt(mean + epsilon)) * weight[k])
  })
}

/** y * s, before rounding, and s. */
export function absmaxScale(y: Float32Array, columns: number): { scaled: number[]; scales: number[] } {
  const scales = rows(y, columns).map(row => 127 / Math.max(1e-5, ...row.map(Math.abs)))
  return { scaled: rows(y, columns).flatMap((row, t) => row.map(value => value * scales[t])), scales }
}

export function ternaryMatmul(q: Int8Array, { codes, columns }: TernaryMatrix): number[] {
  const matrixRows = rows(codes, columns)
  return rows(q, columns).flatMap(row =>
    matrixRows.map(weights => {
      let sum = 0
      for (const [k, weight] of weights.entries()) {
        if (weight === 1) sum += row[k]
        if (weight === -1) sum -= row[k]
      }
      return sum
    }),
  )
}

/** From given activations: which int8 comes out where y * s lies at a tie is the business of `absmaxQuantize`. */
export function dequantizedProduct({ q, scales }: Quantized, { matrix }: BitLinearWeights): number[] {
  return ternaryMatmul(q, matrix).map((sum, i) => (sum * matrix.scale) / scales[Math.floor(i / matrix.rows)])
}

export function mlgru({ input, forget, lowerBound, state }: MlgruInput): number[] {
  let h = Array.from(state)
  return rows(input, state.length).flatMap((inputRow, t) => {
    h = h.map((previous, e) => {
      const bound = lowerBound?.[e] ?? 0
      const f = bound + (1 - bound) * sigmoid(forget[t * state.length + e])
      return f * previous + inputRow[e] * sigmoid(inputRow[e]) * (1 - f)
    })
    return h
  })
}

export function mlgruOutput(g: Float32Array, h: Float32Array, outNorm: Float32Array, epsilon: number): number[] {
  return rmsNorm(g, outNorm, epsilon).map((value, i) => value * h[i] * sigmoid(h[i]))
}

export function glu(gateUp: Float32Array, intermediateSize: number): number[] {
  return rows(gateUp, 2 * intermediateSize).flatMap(row =>
    row.slice(0, intermediateSize).map((gate, i) => gate * sigmoid(gate) * row[intermediateSize + i]),
  )
}
