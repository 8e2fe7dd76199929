// The rest of a product, from products of halves of significands, which are exact: fusing them changes nothing.

// The upper 12 bits of the significand.
fn upper_half(x: vec4<f32>) -> vec4<f32> {
  return bitcast<vec4<f32>>(bitcast<vec4<u32>>(x) & vec4<u32>(0xfffff000u));
}

// a - x * y for a close to x * y, exact up to underflow.
fn product_residual(a: vec4<f32>, x: vec4<f32>, y: vec4<f32>) -> vec4<f32> {
  let x_high = upper_half(x);
  let x_low = x - x_high;
  let y_high = upper_half(y);
  let y_low = y - y_high;
  return (((a - x_high * y_high) - x_high * y_low) - x_low * y_high) - x_low * y_low;
}
