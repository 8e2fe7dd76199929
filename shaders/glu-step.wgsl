// Decode, third quarter of a block: RMSNorm, quantisation, BitLinear gate_up, silu(gate) * up. The input is the
// hidden state.

const PLANES: u32 = 2u;
const QUANTIZED_PLANES: u32 = 1u;
alias RowSums = vec2<i32>;

@group(0) @binding(6) var<storage, read_write> gated: array<f32>; // [I]

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  var held = fetch_codes(group.x, 0u, lane);
  var values = load_input(lane);
  apply_norm(&values, lane);
  let scale = quantize_input(&values, lane).x;

  var taken = lane_activations(0u, lane);
  let factor = divide(dispatch.weight_scales.x, scale);
  for (var batch = 0u; batch < BATCHES; batch++) {
    if (batch > 0u) {
      held = fetch_codes(group.x, batch, lane);
    }
    // Lane r of a row's lanes goes on with the r-th row.
    var sums: RowSums;
    for (var r = 0u; r < ROWS; r++) {
      let row_total = row_sum(RowSums(lane_product(&held, r, 0u, &taken), lane_product(&held, r, 1u, &taken)), lane);
      sums = select(sums, row_total, lane % ROW_LANES == r);
    }
    let row = row_of(group.x, batch, lane % ROW_LANES, lane);
    if (lane % ROW_LANES < ROWS && row < dispatch.row_count) {
      gated[dispatch.first_row + row] = silu(f32(sums.x) * factor) * (f32(sums.y) * factor);
    }
  }
}
