// Float32 arithmetic that is the same on every adapter, but for denormal numbers, which WGSL lets become zero. WGSL lets a
// compiler fuse a product into a sum and gives division, sqrt and exp a few units in the last place of slack; one such
// difference can flip an int8. Not for elementwise sums or
// single products, which are exact to the last bit anyway. residual-fused.wgsl or residual-split.wgsl comes with it.

struct Chunk {
  token_count: u32,
  // 0, but only at run time: what `rounded` hides behind.
  opaque_zero: u32,
}
@group(0) @binding(1) var<uniform> chunk: Chunk; // token count and the opaque zero

// The value itself, opaque to the compiler: a product so wrapped is rounded before it is added.
fn rounded(x: f32) -> f32 {
  return bitcast<f32>(bitcast<u32>(x) ^ chunk.opaque_zero);
}
fn rounded2(x: vec2<f32>) -> vec2<f32> {
  return bitcast<vec2<f32>>(bitcast<vec2<u32>>(x) ^ vec2<u32>(chunk.opaque_zero));
}
fn rounded4(x: vec4<f32>) -> vec4<f32> {
  return bitcast<vec4<f32>>(bitcast<vec4<u32>>(x) ^ vec4<u32>(chunk.opaque_zero));
}

// a / b, correctly rounded where the residual is no denormal number: from about 2^-90 on.
fn divide(a: f32, b: f32) -> f32 {
  let quotient = rounded(a / b);
  return quotient + product_residual(vec4<f32>(a), vec4<f32>(quotient), vec4<f32>(b)).x / b;
}

// x / b, correctly rounded; `inverse` is 1 / b, about.
fn divide4(x: vec4<f32>, b: f32, inverse: f32) -> vec4<f32> {
  let quotient = rounded4(x * inverse);
  return quotient + product_residual(x, quotient, vec4<f32>(b)) * inverse;
}

// A number as an unevaluated sum of two: x is the value to float32, y the rest.
fn add_pairs(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
  let sum = rounded(a.x + b.x);
  let part = rounded(sum - a.x);
  let error = (a.x - (sum - part)) + (b.x - part);
  let low = (a.y + b.y) + error;
  let high = rounded(sum + low);
  return vec2<f32>(high, low - (high - sum));
}

// Squares are summed of x * 2^-20. Inside the numeric domain (|x| <= 2^60) that does not overflow; what underflows is less
// than an epsilon of 1e-12 leaves of it.
const SQUARE_SCALE: f32 = 0x1p-20f;

// The sum of four squares, to about 45 bits.
fn sum_of_squares(values: vec4<f32>) -> vec2<f32> {
  let x = values * SQUARE_SCALE;
  let squares = rounded4(x * x);
  let rests = -product_residual(squares, x, x);
  let sums = rounded2(squares.xy + squares.zw);
  let parts = rounded2(sums - squares.xy);
  let errors = (squares.xy - (sums - parts)) + (squares.zw - parts);
  let total = rounded(sums.x + sums.y);
  let part = rounded(total - sums.x);
  let error = (sums.x - (total - part)) + (sums.y - part);
  return vec2<f32>(total, error + (errors.x + errors.y) + ((rests.x + rests.y) + (rests.z + rests.w)));
}

// sqrt(mean + epsilon) rounded to float32 once; sum of scaled squares over `count` values, epsilon as a pair.
fn root_of_mean(sum: vec2<f32>, count: f32, epsilon: vec2<f32>) -> f32 {
  let quotient = rounded(sum.x / count);
  let residual = product_residual(vec4<f32>(sum.x), vec4<f32>(quotient), vec4<f32>(count)).x;
  let mean = add_pairs(vec2<f32>(quotient, (residual + sum.y) / count), epsilon * (SQUARE_SCALE * SQUARE_SCALE));
  let root = rounded(sqrt(mean.x));
  let error = product_residual(vec4<f32>(mean.x), vec4<f32>(root), vec4<f32>(root)).x + mean.y;
  return (root + error / (2.0 * root)) * (1.0 / SQUARE_SCALE);
}
