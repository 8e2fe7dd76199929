// Prefill: exact integer products of T tokens with ternary matrices, tile by tile: 16 ROWS_PER_LANE rows by 16
// TOKENS_PER_LANE tokens a workgroup, 64 inputs at a time in workgroup memory, where codes have become int8.
// EPILOGUE 0 stores the integers, 1 the dequantised floats, 2 adds these to what is there.

@group(0) @binding(2) var<storage, read> activations: array<vec4<u32>>; // [QUANTIZED_PLANES, CAPACITY, WORDS]
@group(0) @binding(3) var<storage, read> token_scales: array<vec2<u32>>; // [QUANTIZED_PLANES, CAPACITY]
@group(0) @binding(4) var<storage, read> codes: array<u32>; // [planes, row_count, WORDS]
@group(0) @binding(5) var<storage, read_write> output: array<u32>; // [planes, CAPACITY, STRIDE] bits of i32 or f32

const WORDS: u32 = (K + 255u) / 256u * 16u;
const TILE_ROWS: u32 = 16u * ROWS_PER_LANE;
const TILE_TOKENS: u32 = 16u * TOKENS_PER_LANE;
// Words of a row in a tile.
const TILE_WORDS: u32 = 4u;
const ROW_WORDS: u32 = TILE_ROWS * TILE_WORDS;
const TOKEN_WORDS: u32 = TILE_TOKENS * TILE_WORDS;
const ROW_LOADS: u32 = (ROW_WORDS + 255u) / 256u;
const TOKEN_LOADS: u32 = (TOKEN_WORDS + 255u) / 256u;

var<workgroup> row_tile: array<vec4<u32>, ROW_WORDS>;
var<workgroup> token_tile: array<vec4<u32>, TOKEN_WORDS>;

// Place of a word in a tile: neighbouring rows fall into different memory banks.
fn tile_index(row: u32, word: u32) -> u32 {
  return row * TILE_WORDS + (word ^ ((row >> 1u) & 3u));
}

fn expand(codes: u32) -> vec4<u32> {
  return vec4<u32>(codes, codes >> 2u, codes >> 4u, codes >> 6u) & vec4<u32>(0x03030303u);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let plane = group.z;
  let quantized_plane = plane % QUANTIZED_PLANES;
  let first_row = group.x * TILE_ROWS;
  let first_token = group.y * TILE_TOKENS;
  let row_lane = lane % 16u;
  let token_lane = lane / 16u;

  // Past the last row or token, the last one again: computed and not stored.
  var row_at: array<u32, ROW_LOADS>;
  var token_at: array<u32, TOKEN_LOADS>;
  for (var i = 0u; i < ROW_LOADS; i++) {
    let row = min(first_row + (lane + 256u * i) / TILE_WORDS, dispatch.row_count - 1u);
    row_at[i] = (plane * dispatch.row_count + row) * WORDS + lane % TILE_WORDS;
  }
  for (var i = 0u; i < TOKEN_LOADS; i++) {
    let token = min(first_token + (lane + 256u * i) / TILE_WORDS, chunk.token_count - 1u);
    token_at[i] = (quantized_plane * CAPACITY + token) * WORDS + lane % TILE_WORDS;
  }
  var row_next: array<u32, ROW_LOADS>;
  var token_next: array<vec4<u32>, TOKEN_LOADS>;
  for (var i = 0u; i < ROW_LOADS; i++) {
    row_next[i] = codes[row_at[i]];
  }
  for (var i = 0u; i < TOKEN_LOADS; i++) {
    token_next[i] = activations[token_at[i]];
  }

  var sums: array<i32, ROWS_PER_LANE * TOKENS_PER_LANE>;
  for (var first_word = 0u; first_word < WORDS; first_word += TILE_WORDS) {
    workgroupBarrier();
    for (var i = 0u; i < ROW_LOADS; i++) {
      if (lane + 256u * i < ROW_WORDS) {
        row_tile[tile_index((lane + 256u * i) / TILE_WORDS, lane % TILE_WORDS)] = expand(row_next[i]);
      }
    }
    for (var i = 0u; i < TOKEN_LOADS; i++) {
      if (lane + 256u * i < TOKEN_WORDS) {
        token_tile[tile_index((lane + 256u * i) / TILE_WORDS, lane % TILE_WORDS)] = token_next[i];
      }
    }
    workgroupBarrier();
    // The next tile is on its way while this one is multiplied; after the last, the last again.
    let next = min(first_word + TILE_WORDS, WORDS - TILE_WORDS);
    for (var i = 0u; i < ROW_LOADS; i++) {
      row_next[i] = codes[row_at[i] + next];
    }
    for (var i = 0u; i < TOKEN_LOADS; i++) {
      token_next[i] = activations[token_at[i] + next];
    }
    for (var word = 0u; word < TILE_WORDS; word++) {
      var rows: array<vec4<u32>, ROWS_PER_LANE>;
      for (var r = 0u; r < ROWS_PER_LANE; r++) {
        rows[r] = row_tile[tile_index(row_lane + 16u * r, word)];
      }
      for (var t = 0u; t < TOKENS_PER_LANE; t++) {
        let q = token_tile[tile_index(token_lane + 16u * t, word)];
        for (var r = 0u; r < ROWS_PER_LANE; r++) {
          let at = t * ROWS_PER_LANE + r;
          sums[at] = sums[at] + dot4(rows[r].x, q.x);
          sums[at] = sums[at] + dot4(rows[r].y, q.y);
          sums[at] = sums[at] + dot4(rows[r].z, q.z);
          sums[at] = sums[at] + dot4(rows[r].w, q.w);
        }
      }
    }
  }

  for (var t = 0u; t < TOKENS_PER_LANE; t++) {
    let token = first_token + token_lane + 16u * t;
    if (token < chunk.token_count) {
      let token_scale = token_scales[quantized_plane * CAPACITY + token];
      let factor = divide(dispatch.weight_scales[plane], bitcast<f32>(token_scale.x));
      for (var r = 0u; r < ROWS_PER_LANE; r++) {
        let row = first_row + row_lane + 16u * r;
        if (row < dispatch.row_count) {
          let sum = sums[t * ROWS_PER_LANE + r] - bitcast<i32>(token_scale.y);
          let at = (plane * CAPACITY + token) * STRIDE + dispatch.first_row + row;
          let value = f32(sum) * factor;
          if (EPILOGUE == 0u) {
            output[at] = bitcast<u32>(sum);
          } else if (EPILOGUE == 1u) {
            output[at] = bitcast<u32>(value);
          } else {
            output[at] = bitcast<u32>(bitcast<f32>(output[at]) + rounded(value));
          }
        }
      }
    }
  }
}
