/** Byte sources, folders and sinks for tests: over memory, and over real files. They count what is read. */
import { open, readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { ByteFolder, ByteSink, ByteSource } from '../engine/engine-environment.ts'
import { EngineError } from '../engine/errors.ts'

export interface CountingSource extends ByteSource {
  bytesRead: number
  largestRead: number
  closed: boolean
}

/** Every read is a fresh copy, so that results cannot hang on to the source. */
export function memorySource(bytes: Uint8Array, name = 'memory'): CountingSource {
  return countingSource(
    name,
    bytes.length,
    async (offset, length) => new Uint8Array(bytes.subarray(offset, offset + length)),
  )
}

export function countingSource(
  name: string,
  size: number,
  read: (offset: number, length: number) => Promise<Uint8Array>,
  close: () => Promise<void> = async () => {},
): CountingSource {
  const source: CountingSource = {
    name,
    size,
    bytesRead: 0,
    largestRead: 0,
    closed: false,
    async read(offset, length) {
      if (!(offset >= 0 && length >= 0 && offset + length <= size)) {
        // A reader that asks for more than there is has not checked: this is what the attack tests look for.
        throw new Error(`unchecked read of ${length} bytes at ${offset} of ${size}`)
      }
      source.bytesRead += length
      source.largestRead = Math.max(source.largestRead, length)
      return read(offset, length)
    },
    async close() {
      source.closed = true
      await close()
    },
  }
  return source
}

export async function fileSource(path: string): Promise<CountingSource> {
  const file = await open(path)
  const { size } = await file.stat()
  const read = async (offset: number, length: number) => {
    const bytes = new Uint8Array(length)
    await file.read(bytes, 0, length, offset)
    return bytes
  }
  return countingSource(basename(path), size, read, () => file.close())
}

/** Text files may be given as strings or as values to be written as JSON. */
export type FolderFiles = Record<string, Uint8Array | string | object>

export interface MemoryFolder extends ByteFolder {
  readonly opened: CountingSource[]
}

export function memoryFolder(files: FolderFiles, name = 'checkpoint'): MemoryFolder {
  const bytesOf = (content: Uint8Array | string | object): Uint8Array => {
    if (content instanceof Uint8Array) return content
    return new TextEncoder().encode(typeof content === 'string' ? content : JSON.stringify(content))
  }
  const opened: CountingSource[] = []
  return {
    name,
    opened,
    list: async () => Object.keys(files),
    async open(fileName) {
      if (!Object.hasOwn(files, fileName)) throw new EngineError('file-not-found', `No file "${fileName}".`)
      const source = memorySource(bytesOf(files[fileName]!), fileName)
      opened.push(source)
      return source
    },
  }
}

export function fileFolder(path: string): ByteFolder {
  return { name: basename(path), list: () => readdir(path), open: fileName => fileSource(join(path, fileName)) }
}

export interface MemorySink extends ByteSink {
  /** All bytes written. Throws unless `finish` was called. */
  bytes(): Uint8Array
  state: 'open' | 'finished' | 'aborted'
  bytesWritten: number
}

export function memorySink(): MemorySink {
  const pieces: Uint8Array[] = []
  const sink: MemorySink = {
    state: 'open',
    bytesWritten: 0,
    async write(bytes) {
      pieces.push(new Uint8Array(bytes))
      sink.bytesWritten += bytes.length
    },
    async finish() {
      sink.state = 'finished'
    },
    async abort() {
      sink.state = 'aborted'
      pieces.length = 0
    },
    bytes() {
      if (sink.state !== 'finished') throw new Error(`the sink is ${sink.state}`)
      return Buffer.concat(pieces)
    },
  }
  return sink
}
