// Decode, second quarter of a block: output gate rms(g) * h * sigmoid(h), quantisation, BitLinear o, residual. The
// input is [3, K]: g, h, sigmoid(h).

const PLANES: u32 = 1u;
const QUANTIZED_PLANES: u32 = 1u;
alias RowSums = i32;

@group(0) @binding(6) var<storage, read_write> hidden_state: array<f32>; // [D]

fn row_products(held: ptr<function, Codes>, r: u32, taken: ptr<function, Taken>) -> RowSums {
  return lane_product(held, r, 0u, taken, 0u);
}

fn finish_row(row: u32, sum: RowSums, factors: vec4<f32>) {
  hidden_state[row] += rounded(f32(sum) * factors.x);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  var held = fetch_codes(group.x, 0u, lane);
  var values = load_input(lane);
  apply_norm(&values, lane);
  for (var i = 0u; i < ITEMS; i++) {
    let vector = lane + i * WORKGROUP_SIZE;
    if (vector < VECTORS) {
      values[i] = values[i] * input[VECTORS + vector] * input[2u * VECTORS + vector];
    }
  }
  let scale = quantize_input(&values, lane).x;
  each_row(group.x, &held, vec4<f32>(divide(dispatch.weight_scales.x, scale)), lane);
}
