// RMSNorm of each of T rows; one workgroup a row. The model's own kernels have it built in.

@group(0) @binding(2) var<storage, read> norm: array<vec4<f32>>; // [K]
@group(0) @binding(3) var<storage, read_write> rows: array<vec4<f32>>; // [T, K]

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group.x * VECTORS;
  var values: Values;
  for (var i = 0u; i < ITEMS; i++) {
    let vector = lane + i * WORKGROUP_SIZE;
    if (vector < VECTORS) {
      values[i] = rows[row + vector];
    }
  }
  normalize(&values, MODEL_EPSILON, 0u, lane);
  for (var i = 0u; i < ITEMS; i++) {
    let vector = lane + i * WORKGROUP_SIZE;
    if (vector < VECTORS) {
      rows[row + vector] = values[i] * norm[vector];
    }
  }
}
