// RMSNorm and absmax scales of one row of K inputs that the lanes of a workgroup hold in registers: vector `lane + i *
// WORKGROUP_SIZE` of the row is values[i]. What lies beyond K is zero.

const WORDS: u32 = (K + 255u) / 256u * 16u;
const VECTORS: u32 = 4u * WORDS;
const ITEMS: u32 = (VECTORS + WORKGROUP_SIZE - 1u) / WORKGROUP_SIZE;
alias Values = array<vec4<f32>, ITEMS>;

// Upstream: clamp(min=1e-5).
const ABSMAX_FLOOR: f32 = 1e-5f;
// BitLinear's own epsilon, not the model's.
const BITLINEAR_EPSILON = vec2<f32>(BITLINEAR_EPSILON_HIGH, BITLINEAR_EPSILON_LOW);
const MODEL_EPSILON = vec2<f32>(MODEL_EPSILON_HIGH, MODEL_EPSILON_LOW);

// Divides the row by its root mean square. `turn` differs from that of the workgroup_sum before.
fn normalize(values: ptr<function, Values>, epsilon: vec2<f32>, turn: u32, lane: u32) {
  var sum = sum_of_squares((*values)[0]);
  for (var i = 1u; i < ITEMS; i++) {
    sum = add_pairs(sum, sum_of_squares((*values)[i]));
  }
  let root = root_of_mean(workgroup_sum(sum, turn, lane), f32(K), epsilon);
  let inverse = 1.0 / root;
  for (var i = 0u; i < ITEMS; i++) {
    (*values)[i] = divide4((*values)[i], root, inverse);
  }
}

fn absmax_of(y: vec4<f32>) -> f32 {
  let magnitude = abs(y);
  return max(max(magnitude.x, magnitude.y), max(magnitude.z, magnitude.w));
}

// Multiplies; dequantisation divides by it.
fn activation_scale(absmax: f32) -> f32 {
  return divide(127.0, max(absmax, ABSMAX_FLOOR));
}
