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

fn row_products(held: ptr<function, Codes>, r: u32, taken: ptr<function, Taken>) -> RowSums {
  return RowSums(lane_product(held, r, 0u, taken, 0u), lane_product(held, r, 1u, taken, 1u),
    lane_product(held, r, 2u, taken, 2u));
}

fn finish_row(channel: u32, sums: RowSums, factors: vec4<f32>) {
  let from_slot = step.position % RING;
  let to_slot = (step.position + 1u) % RING;
  let at = dispatch.layer * E + channel;
  let f = forget_gate(f32(sums.y) * factors.y, lower_bounds[at]);
  let h = next_state(f, states[from_slot * (L * E) + at], candidate(f32(sums.x) * factors.x, f));
  states[to_slot * (L * E) + at] = h;
  gates[channel] = f32(sums.z) * factors.z;
  gates[STRIDE + channel] = h;
  gates[2u * STRIDE + channel] = sigmoid(h);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  var held = fetch_codes(group.x, 0u, lane);
  var values = load_input(lane);
  apply_norm(&values, lane);
  let scales = quantize_input(&values, lane);
  let weights = dispatch.weight_scales;
  let factors = vec3<f32>(divide(weights.x, scales.x), divide(weights.y, scales.y), divide(weights.z, scales.z));
  each_row(group.x, &held, vec4<f32>(factors, 0.0), lane);
}
