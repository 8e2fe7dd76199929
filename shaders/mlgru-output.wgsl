// Prefill: rms(g) * h * sigmoid(h) of each of T tokens, into the second plane. One workgroup a token.

@group(0) @binding(2) var<storage, read> norm: array<vec4<f32>>; // [E] mlgru_out_norm
@group(0) @binding(3) var<storage, read_write> gates: array<vec4<f32>>; // [3, CAPACITY, WORDS * 16] h, result, g

fn sigmoid4(x: vec4<f32>) -> vec4<f32> {
  return vec4<f32>(sigmoid(x.x), sigmoid(x.y), sigmoid(x.z), sigmoid(x.w));
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group.x * WORDS * 4u;
  let plane = CAPACITY * WORDS * 4u;
  var values: Values;
  for (var i = 0u; i < ITEMS; i++) {
    let word = lane + i * WORKGROUP_SIZE;
    if (word < WORDS) {
      for (var n = 0u; n < 4u; n++) {
        values[4u * i + n] = gates[2u * plane + row + float_index(word, n)];
      }
    }
  }
  let gate_inverse_rms = inverse_rms_of(&values, MODEL_EPSILON, lane);
  for (var i = 0u; i < ITEMS; i++) {
    let word = lane + i * WORKGROUP_SIZE;
    if (word < WORDS) {
      for (var n = 0u; n < 4u; n++) {
        let at = row + float_index(word, n);
        let h = gates[at];
        gates[plane + at] = values[4u * i + n] * gate_inverse_rms * norm[float_index(word, n)] * h * sigmoid4(h);
      }
    }
  }
}
