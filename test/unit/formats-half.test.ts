import { expect, test } from 'vitest'
import { bf16ToF32, f16ArrayToF32, f16ToF32, f32ToBf16, f32ToF16 } from '../../engine/formats/half.ts'
import { createRandom } from '../../engine/seeded-random.ts'

// The engine's own binary16 type of newer JavaScript is the oracle.
const Float16 = (globalThis as unknown as { Float16Array: new (buffer: ArrayBuffer) => { [index: number]: number } })
  .Float16Array
const halfBits = new Uint16Array(1)
const half = new Float16(halfBits.buffer)
const float = new Float32Array(1)
const floatBits = new Uint32Array(float.buffer)

test('every binary16 becomes the float32 that it stands for, and comes back', () => {
  const all = Uint16Array.from({ length: 65536 }, (_, bits) => bits)
  const values = new Float32Array(65536)
  f16ArrayToF32(all, values)
  for (let bits = 0; bits < 65536; bits++) {
    halfBits[0] = bits
    expect(values[bits]).toBe(half[0])
    expect(f16ToF32(bits)).toBe(half[0])
    if (!Number.isNaN(values[bits])) expect(f32ToF16(values[bits]!)).toBe(bits)
  }
})

test('float32 is rounded to the nearest binary16, ties to even', () => {
  const random = createRandom(3)
  const edges = [
    0,
    -0,
    2 ** -25,
    2 ** -24,
    2 ** -25 * 1.0001,
    2 ** -14,
    65504,
    65519.99,
    65520,
    1e30,
    Infinity,
    2049,
    2051,
  ]
  const samples = Array.from({ length: 200_000 }, () => (random() - 0.5) * 2 ** Math.floor(random() * 45 - 28))
  for (const value of [...edges, ...edges.map(edge => -edge), ...samples]) {
    half[0] = float[0] = value
    // Through float32 first, as our values are float32.
    half[0] = float[0]!
    expect(f32ToF16(float[0]!), String(value)).toBe(halfBits[0])
  }
  expect(f16ToF32(f32ToF16(Number.NaN))).toBeNaN()
})

test('bfloat16 is the upper half of a float32, rounded to nearest even', () => {
  expect(bf16ToF32(0x3f80)).toBe(1)
  expect(bf16ToF32(0xc000)).toBe(-2)
  const cases: [bits: number, rounded: number][] = [
    [0x3f808000, 0x3f80],
    [0x3f818000, 0x3f82],
    [0x3f808001, 0x3f81],
    [0x3f807fff, 0x3f80],
    [0x7f7fffff, 0x7f80],
    [0x80000000, 0x8000],
    [0x00000001, 0x0000],
  ]
  for (const [bits, rounded] of cases) {
    floatBits[0] = bits
    expect(f32ToBf16(float[0]!)).toBe(rounded)
  }
  for (let bits = 0; bits < 65536; bits++) {
    const value = bf16ToF32(bits)
    if (!Number.isNaN(value)) expect(f32ToBf16(value)).toBe(bits)
  }
  expect(bf16ToF32(f32ToBf16(Number.NaN))).toBeNaN()
})
