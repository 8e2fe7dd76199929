// Float32 arithmetic that is the same on every adapter. WGSL lets a compiler fuse a product into a sum and gives division,
// inverseSqrt and exp a few units in the last place of slack; one such difference can flip an int8. Not for elementwise
// sums or single products, which are exact to the last bit anyway.

struct Chunk {
  token_count: u32,
  // 0, but only at run time: what `rounded` hides behind.
  opaque_zero: u32,
  logits_rows: u32,
  unused: u32,
}
@group(0) @binding(1) var<uniform> chunk: Chunk; // token count and the opaque zero

// The value itself, opaque to the compiler: a product so wrapped is rounded before it is added.
fn rounded(x: f32) -> f32 {
  return bitcast<f32>(bitcast<u32>(x) ^ chunk.opaque_zero);
}

// The upper 12 bits of the significand. Products of two halves are exact, so fusing them changes nothing.
fn upper_half(x: f32) -> f32 {
  return bitcast<f32>(bitcast<u32>(x) & 0xfffff000u);
}

// a - x * y for a close to x * y, exact up to underflow.
fn product_residual(a: f32, x: f32, y: f32) -> f32 {
  let x_high = upper_half(x);
  let x_low = x - x_high;
  let y_high = upper_half(y);
  let y_low = y - y_high;
  return (((a - x_high * y_high) - x_high * y_low) - x_low * y_high) - x_low * y_low;
}

// a / b, correctly rounded.
fn divide(a: f32, b: f32) -> f32 {
  let quotient = rounded(a / b);
  return quotient + product_residual(a, quotient, b) / b;
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

// Squares are summed of x * 2^-20, which neither overflows nor loses what an epsilon of 1e-6 leaves of it.
const SQUARE_SCALE: f32 = 0x1p-20f;

// The running sum of squares with one more term, to about 45 bits.
fn add_square(sum: vec2<f32>, value: f32) -> vec2<f32> {
  let x = value * SQUARE_SCALE;
  let high = upper_half(x);
  let low = x - high;
  let square = high * high;
  let total = rounded(sum.x + square);
  let part = rounded(total - sum.x);
  let error = (sum.x - (total - part)) + (square - part);
  return vec2<f32>(total, sum.y + (error + (2.0 * high * low + low * low)));
}

fn add_squares(sum: vec2<f32>, values: vec4<f32>) -> vec2<f32> {
  return add_square(add_square(add_square(add_square(sum, values.x), values.y), values.z), values.w);
}

// 1 / sqrt(mean + epsilon) rounded to float32 once; sum of scaled squares over `count` values, epsilon as a pair.
fn inverse_rms(sum: vec2<f32>, count: f32, epsilon: vec2<f32>) -> f32 {
  let quotient = rounded(sum.x / count);
  let rest = (product_residual(sum.x, quotient, count) + sum.y) / count;
  let scaled_epsilon = epsilon * (SQUARE_SCALE * SQUARE_SCALE);
  let mean = add_pairs(vec2<f32>(quotient, rest), scaled_epsilon);
  let estimate = rounded(inverseSqrt(mean.x));
  let square = rounded(estimate * estimate);
  let square_rest = -product_residual(square, estimate, estimate);
  let error = product_residual(1.0, mean.x, square) - (mean.x * square_rest + mean.y * square);
  return (estimate + 0.5 * estimate * error) * SQUARE_SCALE;
}
