/**
 * Lower bounds of the forget gates, from the raw parameter. Arithmetic of loading, the same for every backend.
 */
const fround = Math.fround

/**
 * p = softmax of `raw` [L, E] over the layer axis, in float64, each rounded to float32; lb[l] = (cumulative sum of p up
 * to and with l) - p[0] in float32, as the published implementation adds them.
 * Layer 0 has none (null), nor has any layer when `raw` is null (a model without lower bounds).
 */
export function lowerBounds(raw: Float32Array | null, layerCount: number, stateWidth: number): (Float32Array | null)[] {
  const bounds: (Float32Array | null)[] = [null]
  for (let l = 1; l < layerCount; l++) bounds.push(raw && new Float32Array(stateWidth))
  if (!raw) return bounds
  const exps = new Float64Array(layerCount)
  for (let e = 0; e < stateWidth; e++) {
    let largest = Number.NEGATIVE_INFINITY
    for (let l = 0; l < layerCount; l++) largest = Math.max(largest, raw[l * stateWidth + e])
    let total = 0
    for (let l = 0; l < layerCount; l++) total += exps[l] = Math.exp(raw[l * stateWidth + e] - largest)
    const first = fround(exps[0] / total)
    let cumulative = first
    for (let l = 1; l < layerCount; l++) {
      cumulative = fround(cumulative + fround(exps[l] / total))
      bounds[l]![e] = cumulative - first
    }
  }
  return bounds
}
