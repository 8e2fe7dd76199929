/**
 * The directory of a zip archive whose entries are stored, as torch.save writes it (zip64 included). Nothing is ever
 * inflated: an archive with a compressed or encrypted entry is refused. Every offset and size is held against the file.
 * Source: PKWARE APPNOTE.TXT, sections 4.3 and 4.5.
 */

import type { ByteSource } from '../engine-environment.ts'
import { EngineError } from '../errors.ts'

export interface ZipEntry {
  readonly name: string
  /** Of the stored bytes, from the start of the file. */
  readonly fileOffset: number
  readonly byteLength: number
}

const LIMITS = { directoryBytes: 32 * 2 ** 20, entries: 1 << 18 } as const
const SIGNATURE = { local: 0x04034b50, central: 0x02014b50, end: 0x06054b50, end64: 0x06064b50, locator64: 0x07064b50 }
const END_BYTES = 22
const LOCATOR64_BYTES = 20
const END64_BYTES = 56
const LOCAL_BYTES = 30
const CENTRAL_BYTES = 46

const invalid = (source: ByteSource, problem: string): EngineError =>
  new EngineError('format-invalid', `"${source.name}" is not a valid torch archive: ${problem}.`, {
    expected: 'a zip file as torch.save writes it',
    actual: problem,
    remedy: 'The file is damaged or incomplete: download it again from a source you trust.',
  })

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/** A 64-bit field; above 2^53 it becomes Infinity, which every check refuses. */
function size64(view: DataView, at: number): number {
  const high = view.getUint32(at + 4, true)
  return high < 1 << 21 ? high * 2 ** 32 + view.getUint32(at, true) : Number.POSITIVE_INFINITY
}

/**
 * Entries by name. Local headers are read by `locateZipEntry`, on use.
 * @throws EngineError `format-invalid`, `format-unsupported` (compressed, encrypted, several disks), `limit-exceeded`
 */
export async function readZipDirectory(source: ByteSource): Promise<Map<string, CentralEntry>> {
  const { offset, byteLength, entryCount } = await findDirectory(source)
  if (byteLength > LIMITS.directoryBytes || entryCount > LIMITS.entries) {
    throw new EngineError('limit-exceeded', `"${source.name}" is not a plausible checkpoint.`, {
      expected: `at most ${LIMITS.entries} entries in a directory of ${LIMITS.directoryBytes} bytes`,
      actual: `${entryCount} entries, ${byteLength} bytes`,
      remedy: 'The file is damaged or hostile: download it again from a source you trust.',
    })
  }
  if (offset + byteLength > source.size) throw invalid(source, 'its directory lies outside the file')
  if (entryCount * CENTRAL_BYTES > byteLength) throw invalid(source, 'its directory is too short for its entries')
  const bytes = await source.read(offset, byteLength)
  const view = viewOf(bytes)
  const entries = new Map<string, CentralEntry>()
  let at = 0
  for (let i = 0; i < entryCount; i++) {
    if (at + CENTRAL_BYTES > byteLength || view.getUint32(at, true) !== SIGNATURE.central) {
      throw invalid(source, 'its directory is broken')
    }
    const end =
      at + CENTRAL_BYTES + view.getUint16(at + 28, true) + view.getUint16(at + 30, true) + view.getUint16(at + 32, true)
    if (end > byteLength) throw invalid(source, 'its directory is broken')
    const entry = readCentralEntry(source, bytes.subarray(at, end))
    if (entries.has(entry.name)) throw invalid(source, `the entry "${entry.name}" appears twice`)
    entries.set(entry.name, entry)
    at = end
  }
  return entries
}

interface Directory {
  offset: number
  byteLength: number
  entryCount: number
}

/** The end record lies in the last 64 KiB, behind it only a comment. */
async function findDirectory(source: ByteSource): Promise<Directory> {
  const tailBytes = Math.min(source.size, END_BYTES + 0xffff)
  const tailStart = source.size - tailBytes
  const view = viewOf(await source.read(tailStart, tailBytes))
  let at = tailBytes - END_BYTES
  while (at >= 0 && !(view.getUint32(at, true) === SIGNATURE.end && endsHere(view, at, tailBytes))) at--
  if (at < 0) throw invalid(source, 'its end is missing')
  if (view.getUint16(at + 4, true) !== 0 && view.getUint16(at + 4, true) !== 0xffff) {
    throw new EngineError('format-unsupported', `"${source.name}" is one of several zip volumes.`, {
      remedy: 'Download the checkpoint as one file.',
    })
  }
  const directory = {
    entryCount: view.getUint16(at + 10, true),
    byteLength: view.getUint32(at + 12, true),
    offset: view.getUint32(at + 16, true),
  }
  const zip64 =
    directory.entryCount === 0xffff || directory.byteLength === 0xffffffff || directory.offset === 0xffffffff
  const locatorAt = tailStart + at - LOCATOR64_BYTES
  if (locatorAt < 0) return directory
  const locator = viewOf(await source.read(locatorAt, LOCATOR64_BYTES))
  if (locator.getUint32(0, true) !== SIGNATURE.locator64) {
    if (zip64) throw invalid(source, 'its zip64 end is missing')
    return directory
  }
  return readEnd64(source, size64(locator, 8))
}

const endsHere = (view: DataView, at: number, tailBytes: number): boolean =>
  at + END_BYTES + view.getUint16(at + 20, true) === tailBytes

async function readEnd64(source: ByteSource, at: number): Promise<Directory> {
  if (!(at + END64_BYTES <= source.size)) throw invalid(source, 'its zip64 end lies outside the file')
  const view = viewOf(await source.read(at, END64_BYTES))
  if (view.getUint32(0, true) !== SIGNATURE.end64) throw invalid(source, 'its zip64 end is broken')
  return { entryCount: size64(view, 32), byteLength: size64(view, 40), offset: size64(view, 48) }
}

export interface CentralEntry {
  readonly name: string
  readonly localOffset: number
  readonly byteLength: number
}

/** One record of the directory, exactly its bytes. */
function readCentralEntry(source: ByteSource, record: Uint8Array): CentralEntry {
  const view = viewOf(record)
  const nameBytes = view.getUint16(28, true)
  const extraBytes = view.getUint16(30, true)
  const name = new TextDecoder().decode(record.subarray(CENTRAL_BYTES, CENTRAL_BYTES + nameBytes))
  const extra = record.subarray(CENTRAL_BYTES + nameBytes, CENTRAL_BYTES + nameBytes + extraBytes)
  const encrypted = (view.getUint16(8, true) & 1) !== 0
  const method = view.getUint16(10, true)
  if (encrypted || method !== 0) {
    throw new EngineError('format-unsupported', `"${source.name}" is compressed; torch never writes it so.`, {
      expected: 'stored entries only',
      actual: `entry "${name.slice(0, 256)}" ${encrypted ? 'is encrypted' : `uses method ${method}`}`,
      remedy: 'Download the original checkpoint; a compressed one may be made to fill your memory.',
    })
  }
  const entry = {
    name,
    storedBytes: view.getUint32(20, true),
    byteLength: view.getUint32(24, true),
    localOffset: view.getUint32(42, true),
  }
  applyZip64(extra, entry)
  const { storedBytes, byteLength, localOffset } = entry
  if (storedBytes !== byteLength) throw invalid(source, `the sizes of entry "${name.slice(0, 256)}" differ`)
  if (!(localOffset + LOCAL_BYTES + byteLength <= source.size)) {
    throw invalid(source, `the entry "${name.slice(0, 256)}" lies outside the file`)
  }
  return { name, localOffset, byteLength }
}

/** Fields that are all ones stand in the zip64 extra field instead, in this order. */
function applyZip64(extra: Uint8Array, entry: { storedBytes: number; byteLength: number; localOffset: number }): void {
  const view = viewOf(extra)
  for (let at = 0; at + 4 <= extra.length; at += 4 + view.getUint16(at + 2, true)) {
    if (view.getUint16(at, true) !== 1) continue
    const end = Math.min(extra.length, at + 4 + view.getUint16(at + 2, true))
    let field = at + 4
    for (const key of ['byteLength', 'storedBytes', 'localOffset'] as const) {
      if (entry[key] !== 0xffffffff || field + 8 > end) continue
      entry[key] = size64(view, field)
      field += 8
    }
    return
  }
}

/** Where the bytes of an entry lie. Throws `format-invalid` when its local header contradicts the directory. */
export async function locateZipEntry(source: ByteSource, entry: CentralEntry): Promise<ZipEntry> {
  const view = viewOf(await source.read(entry.localOffset, LOCAL_BYTES))
  const fileOffset = entry.localOffset + LOCAL_BYTES + view.getUint16(26, true) + view.getUint16(28, true)
  const plausible = view.getUint32(0, true) === SIGNATURE.local && view.getUint16(8, true) === 0
  if (!plausible || fileOffset + entry.byteLength > source.size) {
    throw invalid(source, `the header of entry "${entry.name.slice(0, 256)}" is broken`)
  }
  return { name: entry.name, fileOffset, byteLength: entry.byteLength }
}
