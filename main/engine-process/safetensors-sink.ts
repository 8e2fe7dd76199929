/** Writes one float32 matrix as a safetensors file, row by row. Knows no other tensor and reads none. */
import type { ByteSink } from '../../engine/host.ts'

/** Header of a file that holds `name` [rows, columns] F32 alone; the rows follow, little-endian. */
export async function beginSafetensors(sink: ByteSink, name: string, rows: number, columns: number): Promise<void> {
  const tensor = { dtype: 'F32', shape: [rows, columns], data_offsets: [0, rows * columns * 4] }
  const json = JSON.stringify({ [name]: tensor })
  // The data begins at a multiple of 8.
  const header = new TextEncoder().encode(json.padEnd(Math.ceil(json.length / 8) * 8))
  const prefix = new Uint8Array(8)
  new DataView(prefix.buffer).setBigUint64(0, BigInt(header.byteLength), true)
  await sink.write(prefix)
  await sink.write(header)
}
