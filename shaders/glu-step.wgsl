// Decode, third quarter of a block: RMSNorm, quantisation, BitLinear gate_up, silu(gate) * up. The input is the
// hidden state.

const PLANES: u32 = 2u;
const QUANTIZED_PLANES: u32 = 1u;
alias RowSums = vec2<i32>;

@group(0) @binding(6) var<storage, read_write> gated: array<f32>; // [I]

fn row_products(held: ptr<function, Codes>, r: u32, taken: ptr<function, Taken>) -> RowSums {
  return RowSums(lane_product(held, r, 0u, taken, 0u), lane_product(held, r, 1u, taken, 0u));
}

fn finish_row(row: u32, sums: RowSums, factors: vec4<f32>) {
  gated[row] = silu(f32(sums.x) * factors.x) * (f32(sums.y) * factors.x);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  var held = fetch_codes(group.x, 0u, lane);
  var values = load_input(lane);
  apply_norm(&values, lane);
  let scale = quantize_input(&values, lane).x;
  each_row(group.x, &held, vec4<f32>(divide(dispatch.weight_scales.x, scale)), lane);
}
