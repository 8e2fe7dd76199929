// Decode: one BitLinear of one token. With HAS_NORM an RMSNorm comes first (the head); with ADD the result is added to
// what is there (the residual of a block's last quarter).

const PLANES: u32 = 1u;
const QUANTIZED_PLANES: u32 = 1u;
alias RowSums = i32;

@group(0) @binding(6) var<storage, read_write> output: array<f32>; // [N]

fn row_products(held: ptr<function, Codes>, r: u32, taken: ptr<function, Taken>) -> RowSums {
  return lane_product(held, r, 0u, taken, 0u);
}

fn finish_row(row: u32, sum: RowSums, factors: vec4<f32>) {
  let value = f32(sum) * factors.x;
  if (ADD) {
    output[row] += rounded(value);
  } else {
    output[row] = value;
  }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  var held = fetch_codes(group.x, 0u, lane);
  var values = load_input(lane);
  if (HAS_NORM) {
    apply_norm(&values, lane);
  }
  let scale = quantize_input(&values, lane).x;
  each_row(group.x, &held, vec4<f32>(divide(dispatch.weight_scales.x, scale)), lane);
}
