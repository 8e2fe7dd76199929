/**
 * A model as the accelerator's memory holds it: descriptors that its sequencer runs, norm weights, and ternary codes in groups
 * of 64 (gateware/README.md). One image serves every number of lanes.
 */
import { SATURATIONS, type Saturation } from './fixed-point/flags.ts'
import type { FixedBlock, FixedLinear, FixedWeights } from './fixed-point/weights.ts'

/** 2 bits a weight, or five base-3 digits a byte and 13 bytes for 64 weights. */
export type Packing = 'two-bit' | 'base-3'

/** What the sequencer does for one descriptor; sizes in elements. */
export type DeviceOp =
  | { readonly kind: 'norm'; readonly width: number; readonly hasWeight: boolean }
  | {
      readonly kind: 'linear'
      readonly width: number
      readonly rows: number
      readonly codeWords: number
    }
  | { readonly kind: 'state' | 'glu'; readonly width: number }

export interface DeviceProgram {
  /** 16 bit words of memory, from address 0. */
  readonly image: Uint16Array
  /** The descriptors: a word address, and how many there are. */
  readonly programAt: number
  readonly ops: readonly DeviceOp[]
}

const DESCRIPTOR_WORDS = 16
const GROUP = 64
const OP = { norm: 1, linear: 2, state: 3, glu: 4 } as const
const FROM_V = 1 << 4
const TO_RESIDUAL = 1 << 5
const BASE_3 = 1 << 6
const CONSTANT_W1 = 1 << 7
const EPSILON_OF_G = 1 << 8
const EPSILON_CONSTANT = 2 << 8

export function deviceProgram({ blocks }: Pick<FixedWeights, 'blocks'>, packing: Packing): DeviceProgram {
  const writer = createWriter(blocks.length * 12 * DESCRIPTOR_WORDS, packing)
  for (const [layer, block] of blocks.entries()) writeBlock(writer, block, layer)
  return { image: writer.image(), programAt: 0, ops: writer.ops }
}

/** Words of a matrix: groups of 64 weights of a row, in 8 words or in 6 and a half. */
export function codeWords(rows: number, columns: number, packing: Packing): number {
  const groups = rows * Math.ceil(columns / GROUP)
  return packing === 'two-bit' ? groups * 8 : Math.ceil((groups * 13) / 2)
}

type Writer = ReturnType<typeof createWriter>

function writeBlock({ norm, linear, elementwise }: Writer, block: FixedBlock, layer: number): void {
  const D = block.i.columns
  const E = block.lowerBound.length
  const I = block.down.columns
  norm(block.w1Mlgru, 0)
  linear(block.i, 'i', 0, 0)
  linear(block.f, 'f', 0, E)
  linear(block.g, 'g', 0, 2 * E)
  elementwise('state', E, block.lowerBound, layer * E)
  norm(block.w1Out, FROM_V | EPSILON_OF_G, [0, block.outEpsilonShift])
  linear(block.o, 'x', FROM_V | TO_RESIDUAL, 0)
  norm(block.w1Glu, 0)
  linear(block.gateUp, 'gateUp', 0, 0)
  elementwise('glu', I, null, 0)
  norm(I, FROM_V | CONSTANT_W1 | EPSILON_CONSTANT, [block.downEpsilon.cm, block.downEpsilon.cx])
  linear(block.down, 'x', FROM_V | TO_RESIDUAL, 0)
  if (block.o.rows !== D || block.down.rows !== D) throw new RangeError('a block that does not end as wide as it began')
}

/** Descriptors at the front, what they point at behind, in the order of use. */
function createWriter(descriptorWords: number, packing: Packing) {
  const descriptors: number[] = []
  const parts: Uint16Array[] = []
  const ops: DeviceOp[] = []
  let end = descriptorWords
  const place = (words: Uint16Array): number => {
    parts.push(words)
    end += words.length
    return end - words.length
  }
  const descriptor = (fields: readonly number[]): void => {
    const words = new Uint16Array(DESCRIPTOR_WORDS)
    words.set(fields.map(field => field & 0xffff))
    descriptors.push(...words)
  }
  const pair = (address: number): [number, number] => [address & 0xffff, Math.floor(address / 2 ** 16)]

  return {
    ops,
    /** `w1`: the weights, or how many elements there are where all are the same. */
    norm(w1: Int32Array | number, flags: number, [cm, cx]: readonly [number, number] = [0, 0]): void {
      const width = typeof w1 === 'number' ? w1 : w1.length
      const at = typeof w1 === 'number' ? 0 : place(Uint16Array.from(w1))
      descriptor([OP.norm | flags, width, 0, 0, ...pair(at), 0, 0, 0, 0, cm, cx])
      ops.push({ kind: 'norm', width, hasWeight: typeof w1 !== 'number' })
    },
    linear({ rows, columns, codes, w12, C, ce }: FixedLinear, clamps: Saturation, flags: number, to: number): void {
      const weights = place(Uint16Array.from({ length: 2 * columns }, (_, k) => w12[k >> 1] >> (16 * (k & 1))))
      const words = (packing === 'two-bit' ? twoBitWords : base3Words)(codes, rows, columns)
      const flag = SATURATIONS.indexOf(clamps) << 10
      const all = OP.linear | flags | flag | (packing === 'base-3' ? BASE_3 : 0)
      descriptor([all, columns, rows, to, ...pair(weights), ...pair(place(words)), C, ce & 0xff])
      ops.push({ kind: 'linear', width: columns, rows, codeWords: words.length })
    },
    elementwise(kind: 'state' | 'glu', width: number, vector: Int32Array | null, stateAt: number): void {
      const at = vector === null ? 0 : place(Uint16Array.from(vector))
      descriptor([OP[kind], width, 0, 0, ...pair(at), 0, 0, 0, 0, 0, 0, ...pair(stateAt)])
      ops.push({ kind, width })
    },
    image(): Uint16Array {
      const image = new Uint16Array(end)
      image.set(descriptors)
      let at = descriptorWords
      for (const part of parts) {
        image.set(part, at)
        at += part.length
      }
      return image
    },
  }
}

/** codes [N, K]; 16 bytes a group of 64, the first code lowest, nonzero below and negative above. */
export function twoBitWords(codes: Int8Array, rows: number, columns: number): Uint16Array {
  const wordsOfRow = Math.ceil(columns / GROUP) * 8
  const words = new Uint16Array(rows * wordsOfRow)
  for (let row = 0; row < rows; row++) {
    for (let k = 0; k < columns; k++) {
      words[row * wordsOfRow + (k >> 3)] |= (codes[row * columns + k] & 3) << (2 * (k & 7))
    }
  }
  return words
}

/** codes [N, K]; 13 bytes a group of 64, five digits a byte, the first lowest; the last byte has four. */
export function base3Words(codes: Int8Array, rows: number, columns: number): Uint16Array {
  const words = new Uint16Array(codeWords(rows, columns, 'base-3'))
  let byteAt = 0
  for (let row = 0; row < rows; row++) {
    for (let group = 0; group < columns; group += GROUP) {
      for (let at = 0; at < GROUP; at += 5) {
        let byte = 0
        for (let digit = 4; digit >= 0; digit--) {
          const k = group + at + digit
          byte = byte * 3 + (at + digit < GROUP && k < columns ? codes[row * columns + k] : 0) + 1
        }
        words[byteAt >> 1] |= byte << (8 * (byteAt & 1))
        byteAt++
      }
    }
  }
  return words
}
