/**
 * Lower bounds of the forget gates, from the raw parameter. Load-time arithmetic in float64, the same for every backend.
 */

/**
 * p = softmax of `raw` [L, E] over the layer axis; lb[l] = (cumulative sum of p up to and with l) - p[0], rounded to float32.
 * Layer 0 has none (null), nor has any layer when `raw` is null (a model without lower bounds).
 */
export function lowerBounds(raw: Float32Array | null, layerCount: number, stateWidth: number): (Float32Array | null)[] {
  const bounds: (Float32Array | null)[] = [null]
  for (let l = 1; l < layerCount; l++) bounds.push(raw && new Float32Array(stateWidth))
  if (!raw) return bounds
  for (let e = 0; e < stateWidth; e++) {
    let largest = Number.NEGATIVE_INFINITY
    for (let l = 0; l < layerCount; l++) largest = Math.max(largest, raw[l * stateWidth + e])
    let total = 0
    for (let l = 0; l < layerCount; l++) total += Math.exp(raw[l * stateWidth + e] - largest)
    let cumulative = 0
    for (let l = 1; l < layerCount; l++) {
      cumulative += Math.exp(raw[l * stateWidth + e] - largest) / total
      bounds[l]![e] = cumulative
    }
  }
  return bounds
}
