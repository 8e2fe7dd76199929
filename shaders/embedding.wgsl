// Rows of the embedding for T tokens. A matrix that is split over buffers takes one dispatch a buffer; each writes the
// tokens whose row it holds. binary16 is decoded here in integers: unpack2x16float may flush small numbers.

struct Dispatch {
  first_row: u32,
  row_count: u32,
}
@group(0) @binding(0) var<uniform> dispatch: Dispatch; // rows of the matrix in this buffer
@group(0) @binding(2) var<storage, read> tokens: array<u32>; // [TOKENS_OFFSET + T]
@group(0) @binding(3) var<storage, read> rows: array<u32>; // [row_count, D] float32, or two binary16 a word
@group(0) @binding(4) var<storage, read_write> hidden_state: array<f32>; // [T, STRIDE]

fn half_to_float(half: u32) -> f32 {
  let sign = (half & 0x8000u) << 16u;
  let exponent = (half >> 10u) & 31u;
  let fraction = half & 1023u;
  if (exponent == 0u) {
    return bitcast<f32>(bitcast<u32>(f32(fraction) * 0x1p-24f) | sign);
  }
  return bitcast<f32>(sign | ((exponent + 112u) << 23u) | (fraction << 13u));
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let token = tokens[TOKENS_OFFSET + id.y];
  if (id.x >= D || token < dispatch.first_row || token - dispatch.first_row >= dispatch.row_count) {
    return;
  }
  let at = (token - dispatch.first_row) * D + id.x;
  var value: f32;
  if (IS_HALF) {
    value = half_to_float((rows[at / 2u] >> (16u * (at & 1u))) & 0xffffu);
  } else {
    value = bitcast<f32>(rows[at]);
  }
  hidden_state[id.y * STRIDE + id.x] = value;
}
