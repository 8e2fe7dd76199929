// The order of ternary codes and of the int8 activations that meet them.
// Sixteen codes {0, 1, 2} make a word, as in the file's TQ2_0 blocks without their scales: byte b, bits 2n of word
// 8 * half + m hold input 128 * half + 32 * n + 4 * m + b. What the code 1 stands for (zero) is taken off with the sum of
// the activations.

// Where the four inputs 4 * vector .. 4 * vector + 3 meet their codes: the word, and which two bits of its bytes.
fn word_of(vector: u32) -> u32 {
  return (vector >> 5u) * 8u + (vector & 7u);
}
fn quarter_of(vector: u32) -> u32 {
  return (vector >> 3u) & 3u;
}

// One word's sum of code * activation, with codes {0, 1, 2}.
fn word_product(codes: u32, q: vec4<u32>) -> i32 {
  return dot4(codes & 0x03030303u, q.x) + dot4((codes >> 2u) & 0x03030303u, q.y)
    + dot4((codes >> 4u) & 0x03030303u, q.z) + dot4((codes >> 6u) & 0x03030303u, q.w);
}

fn activation_sum(q: u32) -> i32 {
  return dot4(0x01010101u, q);
}

// round(y * scale) of four values as int8, ties to even.
fn quantize4(y: vec4<f32>, scale: f32) -> u32 {
  let q = vec4<i32>(clamp(round(y * scale), vec4<f32>(-128.0), vec4<f32>(127.0)));
  return (u32(q.x) & 0xffu) | ((u32(q.y) & 0xffu) << 8u) | ((u32(q.z) & 0xffu) << 16u) | (u32(q.w) << 24u);
}
