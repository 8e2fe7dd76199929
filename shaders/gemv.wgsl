// What the decode kernels share: int8 activations of one token in workgroup memory, and rows of ternary codes against them.
// ROW_LANES lanes share a row, a lane takes every ROW_LANES-th word of it; a lane works on ROWS rows of PLANES matrices at
// once. The kernel names RowSums: one sum for each plane. Codes are fetched before the activations are known, so that
// memory works while the norms are computed.

struct Dispatch {
  // Rows of the matrix before this buffer's first, and rows in this buffer.
  first_row: u32,
  row_count: u32,
  layer: u32,
  unused: u32,
  // absmean, one a plane; multiplies.
  weight_scales: vec4<f32>,
}
@group(0) @binding(0) var<uniform> dispatch: Dispatch; // rows and scales of this buffer

const ROW_SLOTS: u32 = WORKGROUP_SIZE / ROW_LANES;
const WORDS_PER_LANE: u32 = (WORDS + ROW_LANES - 1u) / ROW_LANES;
alias Codes = array<u32, ROWS * PLANES * WORDS_PER_LANE>;

var<workgroup> activations: array<vec4<u32>, QUANTIZED_PLANES * WORDS>;
var<workgroup> activation_sums: array<i32, QUANTIZED_PLANES * WORDS>;

// Row in this buffer of the r-th row of a lane.
fn row_of(group: u32, r: u32, lane: u32) -> u32 {
  return (group * ROWS + r) * ROW_SLOTS + lane / ROW_LANES;
}

// Index of a lane's i-th word in codes [PLANES, row_count, WORDS]; past the end it is a word of another row that nobody uses.
fn code_index(group: u32, r: u32, plane: u32, i: u32, lane: u32) -> u32 {
  let row = min(row_of(group, r, lane), dispatch.row_count - 1u);
  return (plane * dispatch.row_count + row) * WORDS + min(i * ROW_LANES + lane % ROW_LANES, WORDS - 1u);
}

fn code_slot(r: u32, plane: u32, i: u32) -> u32 {
  return (r * PLANES + plane) * WORDS_PER_LANE + i;
}

// Quantises the row held in `values` into plane `plane` of the activations. Needs a barrier before they are read.
fn store_activations(values: ptr<function, Values>, scale: f32, plane: u32, lane: u32) {
  for (var i = 0u; i < ITEMS; i++) {
    let word = lane + i * WORKGROUP_SIZE;
    if (word < WORDS) {
      let q = vec4<u32>(quantize4((*values)[4u * i], scale), quantize4((*values)[4u * i + 1u], scale),
        quantize4((*values)[4u * i + 2u], scale), quantize4((*values)[4u * i + 3u], scale));
      activations[plane * WORDS + word] = q;
      activation_sums[plane * WORDS + word] = word_sum(q);
    }
  }
}

// A lane's part of the exact sum of row r and plane `plane` with the activations of `quantized_plane`.
fn lane_product(codes: ptr<function, Codes>, r: u32, plane: u32, quantized_plane: u32, lane: u32) -> i32 {
  var sum = 0;
  for (var i = 0u; i < WORDS_PER_LANE; i++) {
    let word = i * ROW_LANES + lane % ROW_LANES;
    if (word < WORDS) {
      let at = quantized_plane * WORDS + word;
      sum += word_product((*codes)[code_slot(r, plane, i)], activations[at]) - activation_sums[at];
    }
  }
  return sum;
}
