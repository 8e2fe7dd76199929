// RMSNorm and absmax scales of one row of K inputs that the lanes of a workgroup hold in registers: word `lane + i *
// WORKGROUP_SIZE` of the row is values[4 i .. 4 i + 3]. What lies beyond K is zero.

const WORDS: u32 = (K + 255u) / 256u * 16u;
const ITEMS: u32 = (WORDS + WORKGROUP_SIZE - 1u) / WORKGROUP_SIZE;
alias Values = array<vec4<f32>, 4u * ITEMS>;

// Upstream: clamp(min=1e-5).
const ABSMAX_FLOOR: f32 = 1e-5f;
// BitLinear's own epsilon, not the model's.
const BITLINEAR_EPSILON = vec2<f32>(BITLINEAR_EPSILON_HIGH, BITLINEAR_EPSILON_LOW);
const MODEL_EPSILON = vec2<f32>(MODEL_EPSILON_HIGH, MODEL_EPSILON_LOW);

fn inverse_rms_of(values: ptr<function, Values>, epsilon: vec2<f32>, lane: u32) -> f32 {
  // Four sums side by side: one would wait for itself.
  var sums = array<vec2<f32>, 4>();
  for (var i = 0u; i < ITEMS; i++) {
    for (var n = 0u; n < 4u; n++) {
      sums[n] = add_squares(sums[n], (*values)[4u * i + n]);
    }
  }
  let sum = add_pairs(add_pairs(sums[0], sums[1]), add_pairs(sums[2], sums[3]));
  return inverse_rms(workgroup_sum(sum, lane), f32(K), epsilon);
}

fn absmax_of(y: vec4<f32>) -> f32 {
  let magnitude = abs(y);
  return max(max(magnitude.x, magnitude.y), max(magnitude.z, magnitude.w));
}

// Multiplies; dequantisation divides by it.
fn activation_scale(absmax: f32) -> f32 {
  return divide(127.0, max(absmax, ABSMAX_FLOOR));
}
