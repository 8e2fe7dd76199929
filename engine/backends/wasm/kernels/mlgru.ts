/** The recurrence and its output gate, for a range of channels of one token. */
import { sigmoid, sigmoid4, silu, silu4 } from './exp'
import { rootMeanSquare, sumOfSquares } from './rms-norm'

/**
 * f = lb + (1 - lb) * sigmoid(forget); h = f * state + silu(input) * (1 - f), for channels first..last-1, f32 each.
 * `lowerBound` 0: f stays sigmoid(forget). Writes h to `state` and to `out`.
 */
export function mlgru(
  input: usize,
  forget: usize,
  lowerBound: usize,
  state: usize,
  out: usize,
  first: i32,
  last: i32,
): void {
  let e = first
  if (ASC_FEATURE_SIMD) {
    const one = f32x4.splat(1)
    for (; e + 4 <= last; e += 4) {
      const at = (<usize>e) << 2
      let f = sigmoid4(v128.load(forget + at))
      if (lowerBound !== 0) {
        const lb = v128.load(lowerBound + at)
        f = f32x4.add(lb, f32x4.mul(f32x4.sub(one, lb), f))
      }
      const c = f32x4.mul(silu4(v128.load(input + at)), f32x4.sub(one, f))
      const h = f32x4.add(f32x4.mul(f, v128.load(state + at)), c)
      v128.store(state + at, h)
      v128.store(out + at, h)
    }
  }
  for (; e < last; e++) {
    const at = (<usize>e) << 2
    let f = sigmoid(load<f32>(forget + at))
    if (lowerBound !== 0) {
      const lb = load<f32>(lowerBound + at)
      f = lb + (<f32>1 - lb) * f
    }
    const c = silu(load<f32>(input + at)) * (<f32>1 - f)
    const h = f * load<f32>(state + at) + c
    store<f32>(state + at, h)
    store<f32>(out + at, h)
  }
}

/** gate[e] = sigmoid(h[e]) for e = first..last-1: the part of the output gate that needs no whole row. */
export function sigmoidRange(h: usize, gate: usize, first: i32, last: i32): void {
  let e = first
  if (ASC_FEATURE_SIMD) {
    for (; e + 4 <= last; e += 4) {
      const at = (<usize>e) << 2
      v128.store(gate + at, sigmoid4(v128.load(h + at)))
    }
  }
  for (; e < last; e++) {
    const at = (<usize>e) << 2
    store<f32>(gate + at, sigmoid(load<f32>(h + at)))
  }
}

/** out = rms(g) * h * gate with gate = sigmoid(h), f32 [n]; returns the sum of out[k]^2. */
export function mlgruOutput(g: usize, h: usize, gate: usize, n: i32, outNorm: usize, epsilon: f64, out: usize): f64 {
  const root = rootMeanSquare(sumOfSquares(g, n), n, epsilon)
  let e = 0
  if (ASC_FEATURE_SIMD) {
    const divisor = f32x4.splat(root)
    for (; e + 4 <= n; e += 4) {
      const at = (<usize>e) << 2
      const normalised = f32x4.mul(f32x4.div(v128.load(g + at), divisor), v128.load(outNorm + at))
      v128.store(out + at, f32x4.mul(f32x4.mul(normalised, v128.load(h + at)), v128.load(gate + at)))
    }
  }
  for (; e < n; e++) {
    const at = (<usize>e) << 2
    const normalised = (load<f32>(g + at) / root) * load<f32>(outNorm + at)
    store<f32>(out + at, normalised * load<f32>(h + at) * load<f32>(gate + at))
  }
  return sumOfSquares(out, n)
}
