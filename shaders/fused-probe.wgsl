// Whether fma rounds once on this adapter: writes fma(x, y, -x * y), which is the product's rest, or zero where it is rounded
// twice.

@group(0) @binding(2) var<storage, read> factors: array<f32>; // [2 N] x, y
@group(0) @binding(3) var<storage, read_write> rests: array<f32>; // [N]

@compute @workgroup_size(1)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let x = factors[2u * id.x];
  let y = factors[2u * id.x + 1u];
  rests[id.x] = -product_residual(vec4<f32>(rounded(x * y)), vec4<f32>(x), vec4<f32>(y)).x;
}
