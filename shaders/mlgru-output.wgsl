// Prefill: rms(g) * h * sigmoid(h) of each of T tokens, into the second plane. One workgroup a token.

@group(0) @binding(2) var<storage, read> norm: array<vec4<f32>>; // [E] mlgru_out_norm
@group(0) @binding(3) var<storage, read_write> gates: array<vec4<f32>>; // [3, CAPACITY, E] h, result, g

fn sigmoid4(x: vec4<f32>) -> vec4<f32> {
  return vec4<f32>(sigmoid(x.x), sigmoid(x.y), sigmoid(x.z), sigmoid(x.w));
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group.x * VECTORS;
  let plane = CAPACITY * VECTORS;
  var values: Values;
  for (var i = 0u; i < ITEMS; i++) {
    let vector = lane + i * WORKGROUP_SIZE;
    if (vector < VECTORS) {
      values[i] = gates[2u * plane + row + vector];
    }
  }
  normalize(&values, MODEL_EPSILON, 0u, lane);
  for (var i = 0u; i < ITEMS; i++) {
    let vector = lane + i * WORKGROUP_SIZE;
    if (vector < VECTORS) {
      let h = gates[row + vector];
      gates[plane + row + vector] = values[i] * norm[vector] * h * sigmoid4(h);
    }
  }
}
