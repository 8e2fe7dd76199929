import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import type { TernaryType } from '../../engine/formats/tensor-types.ts'
import { packTernaryRow, ternaryRowBytes, unpackTernaryRow } from '../../engine/formats/ternary-blocks.ts'
import { createRandom } from '../../engine/seeded-random.ts'

function pack(type: TernaryType, codes: Int8Array): Uint8Array {
  const bytes = new Uint8Array(ternaryRowBytes(type, codes.length))
  packTernaryRow(type, codes, 0, codes.length, bytes, 0)
  return bytes
}

function unpack(type: TernaryType, bytes: Uint8Array, columns: number): Int8Array {
  const codes = new Int8Array(columns)
  unpackTernaryRow(type, bytes, 0, columns, codes, 0, 'blk.0.mlgru_i.weight')
  return codes
}

const randomCodes = (length: number, random: () => number) =>
  Int8Array.from({ length }, () => Math.floor(random() * 3) - 1)

// Digests of what llama.cpp's gguf-py (gguf.quants.quantize) makes of the same 768 weights.
test.each([
  ['TQ1_0', 'c62230cd4a3274084d493d27d778be2198f6e1a5f407cff32d509c76c932e675'],
  ['TQ2_0', '45da11f9b4712ef2b88d639b234eba72fd0843cd71c3cb88a32a2e98da85ddac'],
] as const)('%s blocks are those of ggml', (type, sha256) => {
  let state = 12345
  const codes = Int8Array.from({ length: 768 }, () => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff
    return ((state >> 16) % 3) - 1
  })
  const bytes = pack(type, codes)
  expect(createHash('sha256').update(bytes).digest('hex')).toBe(sha256)
  expect(unpack(type, bytes, 768)).toEqual(codes)
})

test.each(['TQ1_0', 'TQ2_0'] as const)('%s gives back any width and pads with zeros', type => {
  const random = createRandom(7)
  for (const columns of [1, 2, 63, 64, 80, 160, 208, 240, 255, 256, 257, 511, 512, 513, 1000]) {
    const codes = randomCodes(columns, random)
    const bytes = pack(type, codes)
    const blocks = Math.ceil(columns / 256)
    expect(bytes.length).toBe(blocks * (type === 'TQ1_0' ? 54 : 66))
    const padded = unpack(type, bytes, blocks * 256)
    expect(padded.subarray(0, columns)).toEqual(codes)
    expect(padded.subarray(columns).every(code => code === 0)).toBe(true)
  }
})

test('a row is found at its offset and nothing around it is written', () => {
  const random = createRandom(9)
  const codes = randomCodes(300, random)
  const bytes = new Uint8Array(5 + ternaryRowBytes('TQ1_0', 300) + 3).fill(0xee)
  packTernaryRow('TQ1_0', Int8Array.of(...new Array(10).fill(1), ...codes), 10, 300, bytes, 5)
  expect([...bytes.subarray(0, 5), ...bytes.subarray(-3)]).toEqual(new Array(8).fill(0xee))
  const out = new Int8Array(304).fill(9)
  unpackTernaryRow('TQ1_0', bytes, 5, 300, out, 2, 'w')
  expect([out[0], out[1], out[302], out[303]]).toEqual([9, 9, 9, 9])
  expect(out.subarray(2, 302)).toEqual(codes)
})

test('a block of zeros may have scale 0, any other scale is refused', () => {
  for (const type of ['TQ1_0', 'TQ2_0'] as const) {
    const zeros = pack(type, new Int8Array(256))
    zeros.fill(0, -2)
    expect(unpack(type, zeros, 256)).toEqual(new Int8Array(256))
    const ones = pack(type, new Int8Array(256).fill(1))
    for (const scale of [0x0000, 0x3c01, 0x4000, 0x7c00]) {
      ones.set([scale & 255, scale >> 8], ones.length - 2)
      expect(() => unpack(type, ones, 256)).toThrow(expect.objectContaining({ code: 'format-invalid' }))
    }
  }
})

test('code 3 of TQ2_0 is refused in every place', () => {
  const bytes = pack('TQ2_0', randomCodes(256, createRandom(4)))
  for (let at = 0; at < 64; at++) {
    for (let shift = 0; shift < 8; shift += 2) {
      const bad = bytes.slice()
      bad[at]! |= 3 << shift
      expect(() => unpack('TQ2_0', bad, 256)).toThrow(expect.objectContaining({ code: 'format-invalid' }))
    }
  }
})

test('exactly the 243 bytes that pack five ternary digits are read, and the 81 that pack four', () => {
  const readable = (at: number) => {
    const bytes = pack('TQ1_0', new Int8Array(256))
    return Array.from({ length: 256 }, (_, byte) => {
      bytes[at] = byte
      try {
        return Boolean(unpack('TQ1_0', bytes, 256))
      } catch {
        return false
      }
    }).filter(Boolean).length
  }
  expect([0, 31, 32, 47, 48, 51].map(readable)).toEqual([243, 243, 243, 243, 81, 81])
})
