// The order of ternary codes and of the int8 activations that meet them.
// Sixteen codes {0, 1, 2} make a word, as in the file's TQ2_0 blocks without their scales: byte b, bits 2n of word
// 8 * half + m hold input 128 * half + 32 * n + 4 * m + b. Activations are stored in that order too: one vec4<u32> of
// sixteen int8 for each word. What the code 1 stands for (zero) is taken off with the sum of the activations.

// Index of the vec4 of floats that hold inputs 128 * half + 32 * n + 4 * m + (0..3) of word `word`.
fn float_index(word: u32, n: u32) -> u32 {
  return (word >> 3u) * 32u + n * 8u + (word & 7u);
}

// One word's sum of code * activation, with codes {0, 1, 2}.
fn word_product(codes: u32, q: vec4<u32>) -> i32 {
  return dot4(codes & 0x03030303u, q.x) + dot4((codes >> 2u) & 0x03030303u, q.y)
    + dot4((codes >> 4u) & 0x03030303u, q.z) + dot4((codes >> 6u) & 0x03030303u, q.w);
}

// Sum of the sixteen activations of a word.
fn word_sum(q: vec4<u32>) -> i32 {
  return dot4(0x01010101u, q.x) + dot4(0x01010101u, q.y) + dot4(0x01010101u, q.z) + dot4(0x01010101u, q.w);
}

// round(y * scale) of four values as int8, ties to even.
fn quantize4(y: vec4<f32>, scale: f32) -> u32 {
  let q = vec4<i32>(clamp(round(y * scale), vec4<f32>(-128.0), vec4<f32>(127.0)));
  return (u32(q.x) & 0xffu) | ((u32(q.y) & 0xffu) << 8u) | ((u32(q.z) & 0xffu) << 16u) | (u32(q.w) << 24u);
}
