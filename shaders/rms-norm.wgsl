// RMSNorm of each of T rows; one workgroup a row. The model's own kernels have it built in.

@group(0) @binding(2) var<storage, read> norm: array<vec4<f32>>; // [K]
@group(0) @binding(3) var<storage, read_write> rows: array<vec4<f32>>; // [T, WORDS * 16]

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group.x * WORDS * 4u;
  var values: Values;
  for (var i = 0u; i < ITEMS; i++) {
    let word = lane + i * WORKGROUP_SIZE;
    if (word < WORDS) {
      for (var n = 0u; n < 4u; n++) {
        values[4u * i + n] = rows[row + float_index(word, n)];
      }
    }
  }
  let inverse_rms = inverse_rms_of(&values, MODEL_EPSILON, lane);
  for (var i = 0u; i < ITEMS; i++) {
    let word = lane + i * WORKGROUP_SIZE;
    if (word < WORDS) {
      for (var n = 0u; n < 4u; n++) {
        rows[row + float_index(word, n)] = values[4u * i + n] * inverse_rms * norm[float_index(word, n)];
      }
    }
  }
}
