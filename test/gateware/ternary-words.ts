/** Ternary weights as the device's memory holds them: 16 bit words, groups of 64 codes, the first code lowest. */

const GROUP = 64

/** 16 bytes a group: nonzero below, negative above. */
export function twoBitWords(codes: Int8Array): Uint16Array {
  const words = new Uint16Array(codes.length / 8)
  for (let at = 0; at < codes.length; at++) words[at >> 3] |= (codes[at] & 3) << (2 * (at & 7))
  return words
}

/** 13 bytes a group: five digits a byte, the first digit lowest; the last byte has four. An odd group ends inside a word. */
export function base3Words(codes: Int8Array): Uint16Array {
  const bytes: number[] = []
  for (let group = 0; group < codes.length; group += GROUP) {
    for (let at = 0; at < GROUP; at += 5) {
      let byte = 0
      // The fifth digit of the last byte is a weight of zero.
      for (let digit = 4; digit >= 0; digit--)
        byte = byte * 3 + (at + digit < GROUP ? codes[group + at + digit] : 0) + 1
      bytes.push(byte)
    }
  }
  if (bytes.length % 2 === 1) bytes.push(0)
  return Uint16Array.from({ length: bytes.length / 2 }, (_, word) => bytes[2 * word] | (bytes[2 * word + 1] << 8))
}
