// Decode, second quarter of a block: output gate rms(g) * h * sigmoid(h), quantisation, BitLinear o, residual. The
// input is [3, K]: g, h, sigmoid(h).

const PLANES: u32 = 1u;
const QUANTIZED_PLANES: u32 = 1u;
alias RowSums = i32;

@group(0) @binding(6) var<storage, read_write> hidden_state: array<f32>; // [D]

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

  var taken = lane_activations(0u, lane);
  let factor = divide(dispatch.weight_scales.x, scale);
  for (var batch = 0u; batch < BATCHES; batch++) {
    if (batch > 0u) {
      held = fetch_codes(group.x, batch, lane);
    }
    // Lane r of a row's lanes writes the r-th row.
    var sum: RowSums;
    for (var r = 0u; r < ROWS; r++) {
      let row_total = row_sum(lane_product(&held, r, 0u, &taken), lane);
      sum = select(sum, row_total, lane % ROW_LANES == r);
    }
    let row = row_of(group.x, batch, lane % ROW_LANES, lane);
    if (lane % ROW_LANES < ROWS && row < dispatch.row_count) {
      hidden_state[dispatch.first_row + row] += rounded(f32(sum) * factor);
    }
  }
}
