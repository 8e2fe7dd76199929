// The rest of a product, for adapters whose fma rounds once: the same function as residual-split.wgsl.

// a - x * y for a close to x * y, exact up to underflow.
fn product_residual(a: vec4<f32>, x: vec4<f32>, y: vec4<f32>) -> vec4<f32> {
  return fma(-x, y, a);
}
