// Decode, first quarter of a block: RMSNorm, three quantisations, BitLinear i, f and g, and the MLGRU update of the
// recurrent state. Writes the new state into the next slot of the ring, and g, h and sigmoid(h) for the output gate. The input
// is the hidden state.

const PLANES: u32 = 3u;
const QUANTIZED_PLANES: u32 = 3u;
alias RowSums = vec3<i32>;

struct Step {
  // Tokens since the ring was filled: slot `position % RING` holds the state, the next slot gets the new one.
  position: u32,
  token: u32,
}

@group(0) @binding(6) var<storage, read> lower_bounds: array<f32>; // [L, E], zero where there is none
@group(0) @binding(7) var<storage, read> step: Step;
@group(0) @binding(8) var<storage, read_write> states: array<f32>; // [RING, L, E]
@group(0) @binding(9) var<storage, read_write> gates: array<f32>; // [3, STRIDE] g, h, sigmoid(h)

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  var held = fetch_codes(group.x, 0u, lane);
  var values = load_input(lane);
  apply_norm(&values, lane);
  let scales = quantize_input(&values, lane).xyz;

  var for_input = lane_activations(0u, lane);
  var for_forget = lane_activations(1u, lane);
  var for_gate = lane_activations(2u, lane);
  let from_slot = step.position % RING;
  let to_slot = (step.position + 1u) % RING;
  for (var batch = 0u; batch < BATCHES; batch++) {
    if (batch > 0u) {
      held = fetch_codes(group.x, batch, lane);
    }
    // Lane r of a row's lanes goes on with the r-th row.
    var sums: RowSums;
    for (var r = 0u; r < ROWS; r++) {
      let row_total = row_sum(RowSums(lane_product(&held, r, 0u, &for_input), lane_product(&held, r, 1u, &for_forget),
        lane_product(&held, r, 2u, &for_gate)), lane);
      sums = select(sums, row_total, lane % ROW_LANES == r);
    }
    let row = row_of(group.x, batch, lane % ROW_LANES, lane);
    if (lane % ROW_LANES < ROWS && row < dispatch.row_count) {
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
