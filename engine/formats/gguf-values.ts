/**
 * Typed values of a GGUF header: numbers, strings and arrays, each held against the file and a limit before it is read.
 * Arrays of a vocabulary are passed over, not kept. What a key means is decided in model-metadata.ts.
 * Source: ggml docs/gguf.md.
 */
import { EngineError } from '../errors.ts'
import type { ByteCursor } from './byte-cursor.ts'

export const GGUF_DEFAULT_ALIGNMENT = 32

/** Far above any real model, far below harm. */
const MAX_STRING_BYTES = 128 * 2 ** 20
export const MAX_HEADER_BYTES = 512 * 2 ** 20

/** Longer arrays (vocabularies) are passed over: their type and length are kept. */
const MAX_KEPT_ARRAY_ELEMENTS = 256

export const GGUF_VALUE_TYPES = [
  'uint8',
  'int8',
  'uint16',
  'int16',
  'uint32',
  'int32',
  'float32',
  'bool',
  'string',
  'array',
  'uint64',
  'int64',
  'float64',
] as const
export type GgufValueType = (typeof GGUF_VALUE_TYPES)[number]

const VALUE_BYTES: Record<Exclude<GgufValueType, 'string' | 'array'>, number> = {
  uint8: 1,
  int8: 1,
  uint16: 2,
  int16: 2,
  uint32: 4,
  int32: 4,
  float32: 4,
  bool: 1,
  uint64: 8,
  int64: 8,
  float64: 8,
}

/** 64-bit integers that a double cannot hold come as bigint. */
export type GgufScalar = string | number | bigint | boolean
interface GgufLongArray {
  elementType: GgufValueType
  length: number
}
export type GgufValue = GgufScalar | readonly GgufScalar[] | GgufLongArray

export const invalidGguf = (name: string, problem: string, expected?: string, actual?: string): EngineError =>
  new EngineError('format-invalid', `"${name}" is not a valid GGUF file: ${problem}.`, {
    ...(expected === undefined ? {} : { expected }),
    ...(actual === undefined ? {} : { actual }),
    remedy: 'The file is damaged: download it again, or convert the original checkpoint.',
  })

export function checkLimit(name: string, what: string, value: number, limit: number): void {
  if (value <= limit) return
  throw new EngineError('limit-exceeded', `"${name}" is not a plausible model file: ${what} is out of range.`, {
    expected: `at most ${limit}`,
    actual: Number.isFinite(value) ? String(value) : 'more than 2^53',
    remedy: 'The file is damaged or hostile: download it again from a source you trust.',
  })
}

/** Keeps a byte-order mark and refuses what is not UTF-8. */
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export async function readString(cursor: ByteCursor, what: string, limit: number): Promise<string> {
  if (cursor.available < 8) await cursor.need(8)
  const length = cursor.size64()
  checkLimit(cursor.source.name, what, length, limit)
  if (cursor.available < length) await cursor.need(length)
  try {
    return utf8.decode(cursor.bytes(length))
  } catch {
    throw invalidGguf(cursor.source.name, 'a string is not UTF-8')
  }
}

export async function readValueType(cursor: ByteCursor, key: string): Promise<GgufValueType> {
  await cursor.need(4)
  const id = cursor.u32()
  const type = GGUF_VALUE_TYPES[id]
  if (!type) throw invalidGguf(cursor.source.name, `metadata "${key}" has an unknown type`, '0 to 12', String(id))
  return type
}

interface ReadValue {
  value: GgufValue
  /** Where an array has the string `</s>`; -1 where it has not. */
  endOfSequenceAt: number
}

export async function readValue(cursor: ByteCursor, type: GgufValueType, key: string): Promise<ReadValue> {
  if (type === 'array') return readArray(cursor, key)
  return { value: await readScalar(cursor, type, key), endOfSequenceAt: -1 }
}

async function readScalar(cursor: ByteCursor, type: Exclude<GgufValueType, 'array'>, key: string): Promise<GgufScalar> {
  if (type === 'string') return readString(cursor, `the length of metadata "${key}"`, MAX_STRING_BYTES)
  await cursor.need(VALUE_BYTES[type])
  return readNumber(cursor, type, key)
}

function readNumber(cursor: ByteCursor, type: keyof typeof VALUE_BYTES, key: string): GgufScalar {
  switch (type) {
    case 'uint8':
      return cursor.u8()
    case 'int8':
      return cursor.i8()
    case 'uint16':
      return cursor.u16()
    case 'int16':
      return cursor.i16()
    case 'uint32':
      return cursor.u32()
    case 'int32':
      return cursor.i32()
    case 'float32':
      return cursor.f32()
    case 'float64':
      return cursor.f64()
    case 'uint64':
      return narrow(cursor.u64())
    case 'int64':
      return narrow(cursor.i64())
    case 'bool': {
      const byte = cursor.u8()
      if (byte > 1) throw invalidGguf(cursor.source.name, `metadata "${key}" is no boolean`, '0 or 1', String(byte))
      return byte === 1
    }
  }
}

const narrow = (value: bigint): number | bigint =>
  value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value

async function readArray(cursor: ByteCursor, key: string): Promise<ReadValue> {
  const { name } = cursor.source
  const elementType = await readValueType(cursor, key)
  if (elementType === 'array') {
    throw new EngineError('format-unsupported', `"${name}": metadata "${key}" is an array of arrays.`, {
      expected: 'an array of strings, numbers or booleans',
      remedy: 'Convert the original checkpoint again with Tern.',
    })
  }
  await cursor.need(8)
  const length = cursor.size64()
  cursor.require(length * (elementType === 'string' ? 8 : VALUE_BYTES[elementType]))
  if (length > MAX_KEPT_ARRAY_ELEMENTS) {
    const value = { elementType, length }
    if (elementType === 'string') return { value, endOfSequenceAt: await skipStrings(cursor, length) }
    cursor.skip(length * VALUE_BYTES[elementType])
    return { value, endOfSequenceAt: -1 }
  }
  const values: GgufScalar[] = []
  for (let i = 0; i < length; i++) values.push(await readScalar(cursor, elementType, key))
  return { value: values, endOfSequenceAt: values.lastIndexOf('</s>') }
}

/** Passes over a vocabulary; returns where it has `</s>`, or -1. */
async function skipStrings(cursor: ByteCursor, count: number): Promise<number> {
  let endOfSequenceAt = -1
  for (let i = 0; i < count; i++) {
    if (cursor.available < 8) await cursor.need(8)
    const length = cursor.size64()
    checkLimit(cursor.source.name, 'the size of the header in bytes', cursor.position + length, MAX_HEADER_BYTES)
    if (length !== 4) {
      cursor.skip(length)
      continue
    }
    if (cursor.available < 4) await cursor.need(4)
    if (cursor.u32() === END_OF_SEQUENCE_BYTES) endOfSequenceAt = i
  }
  return endOfSequenceAt
}
/** "</s>" as a little-endian 32-bit number. */
const END_OF_SEQUENCE_BYTES = 0x3e732f3c
