// Decode, first quarter of a block: RMSNorm, three quantisations, BitLinear i, f and g, and the MLGRU update of the
// recurrent state. Writes the new state into the next slot of the ring, and g, h and sigmoid(h) for the output gate.

const PLANES: u32 = 3u;
const QUANTIZED_PLANES: u32 = 3u;
alias RowSums = vec3<i32>;

struct Step {
  // Tokens since the ring was filled: slot `position % RING` holds the state, the next slot gets the new one.
  position: u32,
  token: u32,
}

@group(0) @binding(2) var<storage, read> hidden_state: array<vec4<f32>>; // [D]
@group(0) @binding(3) var<storage, read> norm: array<vec4<f32>>; // [D] mlgru_norm
@group(0) @binding(4) var<storage, read> in_norms: array<vec4<f32>>; // [3, D] of i, f, g
@group(0) @binding(5) var<storage, read> codes: array<u32>; // [3, row_count, WORDS] of i, f, g
@group(0) @binding(6) var<storage, read> lower_bounds: array<f32>; // [L, E], zero where there is none
@group(0) @binding(7) var<storage, read> step: Step;
@group(0) @binding(8) var<storage, read_write> states: array<f32>; // [RING, L, E]
@group(0) @binding(9) var<storage, read_write> gates: array<f32>; // [3, STRIDE] g, h, sigmoid(h)

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
  var of_input: Values;
  var of_forget: Values;
  var of_gate: Values;
  var absmax = vec4<f32>();
  for (var i = 0u; i < ITEMS; i++) {
    let word = lane + i * WORKGROUP_SIZE;
    if (word < WORDS) {
      for (var n = 0u; n < 4u; n++) {
        let at = float_index(word, n);
        let normed = values[4u * i + n] * linear_inverse_rms;
        of_input[4u * i + n] = normed * in_norms[at];
        of_forget[4u * i + n] = normed * in_norms[WORDS * 4u + at];
        of_gate[4u * i + n] = normed * in_norms[WORDS * 8u + at];
        absmax = max(absmax, vec4<f32>(absmax_of(of_input[4u * i + n]), absmax_of(of_forget[4u * i + n]),
          absmax_of(of_gate[4u * i + n]), 0.0));
      }
    }
  }
  absmax = workgroup_max(absmax, lane);
  let scales = vec3<f32>(activation_scale(absmax.x), activation_scale(absmax.y), activation_scale(absmax.z));
  store_activations(&of_input, scales.x, 0u, lane);
  store_activations(&of_forget, scales.y, 1u, lane);
  store_activations(&of_gate, scales.z, 2u, lane);
  workgroupBarrier();

  let from_slot = step.position % RING;
  let to_slot = (step.position + 1u) % RING;
  for (var r = 0u; r < ROWS; r++) {
    let sums = row_sum(RowSums(lane_product(&held, r, 0u, 0u, lane), lane_product(&held, r, 1u, 1u, lane),
      lane_product(&held, r, 2u, 2u, lane)), lane);
    let row = row_of(group.x, r, lane);
    if (lane % ROW_LANES == 0u && row < dispatch.row_count) {
      let channel = dispatch.first_row + row;
      let input = f32(sums.x) * divide(dispatch.weight_scales.x, scales.x);
      let forget = f32(sums.y) * divide(dispatch.weight_scales.y, scales.y);
      let gate = f32(sums.z) * divide(dispatch.weight_scales.z, scales.z);
      let at = dispatch.layer * E + channel;
      let f = forget_gate(forget, lower_bounds[at]);
      let h = next_state(f, states[from_slot * (L * E) + at], candidate(input, f));
      states[to_slot * (L * E) + at] = h;
      gates[channel] = gate;
      gates[STRIDE + channel] = h;
      gates[2u * STRIDE + channel] = sigmoid(h);
    }
  }
}
