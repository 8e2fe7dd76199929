// What the decode kernels share: int8 activations of one token in workgroup memory, and rows of ternary codes against them.
// ROW_LANES lanes share a row, a lane takes every ROW_LANES-th word of it; a lane works on ROWS rows of PLANES matrices at
// once, BATCHES times. The kernel names RowSums, one sum for each plane, says which products they are (row_products), and what
// becomes of them (finish_row). The first codes are fetched before the activations are known, so that memory works while the
// norms are computed.

@group(0) @binding(2) var<storage, read> input: array<vec4<f32>>; // [K], or more where the kernel says so
@group(0) @binding(3) var<storage, read> norm: array<vec4<f32>>; // [K] of the RMSNorm before; anything without one
@group(0) @binding(4) var<storage, read> in_norms: array<vec4<f32>>; // [QUANTIZED_PLANES, K]
@group(0) @binding(5) var<storage, read> codes: array<u32>; // [PLANES, row_count, WORDS]

const ROW_SLOTS: u32 = WORKGROUP_SIZE / ROW_LANES;
const WORDS_PER_LANE: u32 = (WORDS + ROW_LANES - 1u) / ROW_LANES;
alias Codes = array<u32, ROWS * PLANES * WORDS_PER_LANE>;

// [QUANTIZED_PLANES, 4, WORDS]: by quarters, so that neighbouring lanes read neighbouring banks.
var<workgroup> activations: array<u32, QUANTIZED_PLANES * VECTORS>;

// What a lane needs of one plane of activations, in registers.
struct LaneActivations {
  q: array<vec4<u32>, WORDS_PER_LANE>,
  sum: i32,
}
alias Taken = array<LaneActivations, QUANTIZED_PLANES>;

// Row in this buffer of the r-th row of a lane.
fn row_of(group: u32, batch: u32, r: u32, lane: u32) -> u32 {
  return ((group * BATCHES + batch) * ROWS + r) * ROW_SLOTS + lane / ROW_LANES;
}

// Index of a lane's i-th word in codes [PLANES, row_count, WORDS]; past the end it is a word of another row that meets zeros.
fn code_index(row: u32, plane: u32, i: u32, lane: u32) -> u32 {
  return (plane * dispatch.row_count + min(row, dispatch.row_count - 1u)) * WORDS
    + min(i * ROW_LANES + lane % ROW_LANES, WORDS - 1u);
}

fn code_slot(r: u32, plane: u32, i: u32) -> u32 {
  return (r * PLANES + plane) * WORDS_PER_LANE + i;
}

// The codes of a lane's rows.
fn fetch_codes(group: u32, batch: u32, lane: u32) -> Codes {
  var held: Codes;
  for (var r = 0u; r < ROWS; r++) {
    let row = row_of(group, batch, r, lane);
    for (var plane = 0u; plane < PLANES; plane++) {
      for (var i = 0u; i < WORDS_PER_LANE; i++) {
        held[code_slot(r, plane, i)] = codes[code_index(row, plane, i, lane)];
      }
    }
  }
  return held;
}

// A lane's part of the input.
fn load_input(lane: u32) -> Values {
  var values: Values;
  for (var i = 0u; i < ITEMS; i++) {
    let vector = lane + i * WORKGROUP_SIZE;
    if (vector < VECTORS) {
      values[i] = input[vector];
    }
  }
  return values;
}

// RMSNorm with the model's epsilon.
fn apply_norm(values: ptr<function, Values>, lane: u32) {
  normalize(values, MODEL_EPSILON, 0u, lane);
  for (var i = 0u; i < ITEMS; i++) {
    let vector = lane + i * WORKGROUP_SIZE;
    if (vector < VECTORS) {
      (*values)[i] = (*values)[i] * norm[vector];
    }
  }
}

// BitLinear's own norm and quantisation, for each plane; their scales.
fn quantize_input(values: ptr<function, Values>, lane: u32) -> vec4<f32> {
  normalize(values, BITLINEAR_EPSILON, 1u, lane);
  var y: array<Values, QUANTIZED_PLANES>;
  var absmax = vec4<f32>();
  for (var plane = 0u; plane < QUANTIZED_PLANES; plane++) {
    for (var i = 0u; i < ITEMS; i++) {
      let vector = lane + i * WORKGROUP_SIZE;
      if (vector < VECTORS) {
        y[plane][i] = (*values)[i] * in_norms[plane * VECTORS + vector];
        absmax[plane] = max(absmax[plane], absmax_of(y[plane][i]));
      }
    }
  }
  absmax = workgroup_max(absmax, lane);
  var scales: vec4<f32>;
  for (var plane = 0u; plane < QUANTIZED_PLANES; plane++) {
    scales[plane] = activation_scale(absmax[plane]);
    for (var i = 0u; i < ITEMS; i++) {
      let vector = lane + i * WORKGROUP_SIZE;
      if (vector < VECTORS) {
        activations[(plane * 4u + quarter_of(vector)) * WORDS + word_of(vector)] = quantize4(y[plane][i], scales[plane]);
      }
    }
  }
  workgroupBarrier();
  return scales;
}

fn take_activations(lane: u32) -> Taken {
  var taken: Taken;
  for (var plane = 0u; plane < QUANTIZED_PLANES; plane++) {
    for (var i = 0u; i < WORDS_PER_LANE; i++) {
      let word = i * ROW_LANES + lane % ROW_LANES;
      if (word < WORDS) {
        let at = plane * VECTORS + word;
        let q = vec4<u32>(activations[at], activations[at + WORDS], activations[at + 2u * WORDS],
          activations[at + 3u * WORDS]);
        taken[plane].q[i] = q;
        taken[plane].sum += activation_sum(q.x) + activation_sum(q.y) + activation_sum(q.z) + activation_sum(q.w);
      }
    }
  }
  return taken;
}

// A lane's part of the exact sum of row r and plane `plane` with the activations of plane `of_plane`.
fn lane_product(codes: ptr<function, Codes>, r: u32, plane: u32, taken: ptr<function, Taken>, of_plane: u32) -> i32 {
  var sum = -(*taken)[of_plane].sum;
  for (var i = 0u; i < WORDS_PER_LANE; i++) {
    sum += word_product((*codes)[code_slot(r, plane, i)], (*taken)[of_plane].q[i]);
  }
  return sum;
}

// All rows of a workgroup. `held`: the first batch's codes. `factors`: what a plane's sums are multiplied by.
fn each_row(group: u32, held: ptr<function, Codes>, factors: vec4<f32>, lane: u32) {
  var taken = take_activations(lane);
  for (var batch = 0u; batch < BATCHES; batch++) {
    if (batch > 0u) {
      *held = fetch_codes(group, batch, lane);
    }
    // Lane r of a row's lanes goes on with the r-th row.
    var sums: RowSums;
    for (var r = 0u; r < ROWS; r++) {
      let row_total = row_sum(row_products(held, r, &taken), lane);
      sums = select(sums, row_total, lane % ROW_LANES == r);
    }
    let row = row_of(group, batch, lane % ROW_LANES, lane);
    if (lane % ROW_LANES < ROWS && row < dispatch.row_count) {
      finish_row(dispatch.first_row + row, sums, factors);
    }
  }
}
