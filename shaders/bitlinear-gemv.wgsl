// Decode: one BitLinear of one token. With HAS_NORM an RMSNorm comes first (the head); with ADD the result is added to
// what is there (the residual of a block's last quarter).

const PLANES: u32 = 1u;
const QUANTIZED_PLANES: u32 = 1u;
alias RowSums = i32;

@group(0) @binding(2) var<storage, read> input: array<vec4<f32>>; // [K]
@group(0) @binding(3) var<storage, read> norm: array<vec4<f32>>; // [K], of the RMSNorm before; anything without one
@group(0) @binding(4) var<storage, read> in_norm: array<vec4<f32>>; // [K]
@group(0) @binding(5) var<storage, read> codes: array<u32>; // [row_count, WORDS]
@group(0) @binding(6) var<storage, read_write> output: array<f32>; // [N]

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  var held: Codes;
  for (var r = 0u; r < ROWS; r++) {
    for (var i = 0u; i < WORDS_PER_LANE; i++) {
      held[code_slot(r, 0u, i)] = codes[code_index(group.x, r, 0u, i, lane)];
    }
  }

  var values: Values;
  for (var i = 0u; i < ITEMS; i++) {
    let word = lane + i * WORKGROUP_SIZE;
    if (word < WORDS) {
      for (var n = 0u; n < 4u; n++) {
        values[4u * i + n] = input[float_index(word, n)];
      }
    }
  }
  if (HAS_NORM) {
    let norm_inverse_rms = inverse_rms_of(&values, MODEL_EPSILON, lane);
    for (var i = 0u; i < ITEMS; i++) {
      let word = lane + i * WORKGROUP_SIZE;
      if (word < WORDS) {
        for (var n = 0u; n < 4u; n++) {
          values[4u * i + n] = values[4u * i + n] * norm_inverse_rms * norm[float_index(word, n)];
        }
      }
    }
  }
  let linear_inverse_rms = inverse_rms_of(&values, BITLINEAR_EPSILON, lane);
  var absmax = 0.0;
  for (var i = 0u; i < ITEMS; i++) {
    let word = lane + i * WORKGROUP_SIZE;
    if (word < WORDS) {
      for (var n = 0u; n < 4u; n++) {
        values[4u * i + n] = values[4u * i + n] * linear_inverse_rms * in_norm[float_index(word, n)];
        absmax = max(absmax, absmax_of(values[4u * i + n]));
      }
    }
  }
  let scale = activation_scale(workgroup_max(vec4<f32>(absmax), lane).x);
  store_activations(&values, scale, 0u, lane);
  workgroupBarrier();

  for (var r = 0u; r < ROWS; r++) {
    let sum = row_sum(lane_product(&held, r, 0u, 0u, lane), lane);
    let row = row_of(group.x, r, lane);
    if (lane % ROW_LANES == 0u && row < dispatch.row_count) {
      let at = dispatch.first_row + row;
      let value = f32(sum) * divide(dispatch.weight_scales.x, scale);
      if (ADD) {
        output[at] += rounded(value);
      } else {
        output[at] = value;
      }
    }
  }
}
