// Decode, third quarter of a block: RMSNorm, quantisation, BitLinear gate_up, silu(gate) * up.

const PLANES: u32 = 2u;
const QUANTIZED_PLANES: u32 = 1u;
alias RowSums = vec2<i32>;

@group(0) @binding(2) var<storage, read> hidden_state: array<vec4<f32>>; // [D]
@group(0) @binding(3) var<storage, read> norm: array<vec4<f32>>; // [D] glu_norm
@group(0) @binding(4) var<storage, read> in_norm: array<vec4<f32>>; // [D]
@group(0) @binding(5) var<storage, read> codes: array<u32>; // [2, row_count, WORDS] gate, up
@group(0) @binding(6) var<storage, read_write> gated: array<f32>; // [I]

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  var held: Codes;
  for (var r = 0u; r < ROWS; r++) {
    for (var plane = 0u; plane < PLANES; plane++) {
      for (var i = 0u; i < WORDS_PER_LANE; i++) {
        held[code_slot(r, plane, i)] = codes[code_index(group.x, r, plane, i, lane)];
      }
    }
  }

  var values: Values;
  for (var i = 0u; i < ITEMS; i++) {
    let word = lane + i * WORKGROUP_SIZE;
    if (word < WORDS) {
      for (var n = 0u; n < 4u; n++) {
        values[4u * i + n] = hidden_state[float_index(word, n)];
      }
    }
  }
  let block_inverse_rms = inverse_rms_of(&values, MODEL_EPSILON, lane);
  for (var i = 0u; i < ITEMS; i++) {
    let word = lane + i * WORKGROUP_SIZE;
    if (word < WORDS) {
      for (var n = 0u; n < 4u; n++) {
        values[4u * i + n] = values[4u * i + n] * block_inverse_rms * norm[float_index(word, n)];
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
    let sums = row_sum(RowSums(lane_product(&held, r, 0u, 0u, lane), lane_product(&held, r, 1u, 0u, lane)), lane);
    let row = row_of(group.x, r, lane);
    if (lane % ROW_LANES == 0u && row < dispatch.row_count) {
      let factor = divide(dispatch.weight_scales.x, scale);
      gated[dispatch.first_row + row] = silu(f32(sums.x) * factor) * (f32(sums.y) * factor);
    }
  }
}
