/** A range of a ByteSource as a source of its own. Closing it leaves the whole open. */
import type { ByteSource } from '../engine-environment.ts'
import { truncated } from './byte-cursor.ts'

export function sliceSource(whole: ByteSource, offset: number, size: number): ByteSource {
  const slice: ByteSource = {
    name: whole.name,
    size,
    async read(at, length, into) {
      if (at + length > size) throw truncated(slice, at + length)
      return whole.read(offset + at, length, into)
    },
    close: async () => {},
  }
  return slice
}
