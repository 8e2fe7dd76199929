/** Rows of a task's file: JSON lines, a JSON array, or Parquet as the hub carries it. */
import { TernError } from '../../contract/errors.ts'

const PARQUET_MAGIC = 'PAR1'
/** Far more than any of the six has; a small file may claim to hold many. */
const MAX_ROWS = 200_000

/** `path` is for messages. Throws `format-invalid`, `limit-exceeded`. */
export async function readRows(content: Buffer, path: string): Promise<unknown[]> {
  try {
    if (content.subarray(0, 4).toString('latin1') === PARQUET_MAGIC) return await parquetRows(content, path)
  } catch (cause) {
    if (cause instanceof TernError) throw cause
    throw unreadable(path, cause instanceof Error ? cause.message : String(cause))
  }
  return jsonRows(content.toString('utf8'), path)
}

async function parquetRows(content: Buffer, path: string): Promise<unknown[]> {
  // Loaded when it is needed: no other command reads such files.
  const { parquetMetadata, parquetReadObjects } = await import('hyparquet')
  const file = new Uint8Array(content).buffer
  const metadata = parquetMetadata(file)
  if (metadata.num_rows > MAX_ROWS) throw tooMany(path)
  return await parquetReadObjects({ file, metadata })
}

function jsonRows(content: string, path: string): unknown[] {
  if (content.trimStart().startsWith('[')) {
    const value: unknown = parse(content, path, '')
    if (Array.isArray(value)) return bounded(value, path)
  }
  const lines = content.split('\n')
  const rows = lines.flatMap((line, i) => (line.trim() === '' ? [] : [parse(line, path, `line ${i + 1}: `)]))
  return bounded(rows, path)
}

function parse(json: string, path: string, place: string): unknown {
  try {
    return JSON.parse(json)
  } catch (cause) {
    throw unreadable(path, `${place}${cause instanceof Error ? cause.message : String(cause)}`)
  }
}

function bounded(rows: unknown[], path: string): unknown[] {
  if (rows.length > MAX_ROWS) throw tooMany(path)
  return rows
}

const tooMany = (path: string): TernError =>
  new TernError({
    code: 'limit-exceeded',
    message: `${path} has too many rows.`,
    expected: `at most ${MAX_ROWS.toLocaleString('en-US')}`,
    remedy: 'Check that it is the file you mean, or give a part of it.',
  })

const unreadable = (path: string, actual: string): TernError =>
  new TernError({
    code: 'format-invalid',
    message: `${path} cannot be read.`,
    expected: 'one JSON object a line, a JSON array, or a Parquet file with Snappy compression',
    actual,
    remedy: 'Give the file of a task as the hub carries it, or write its rows as JSON lines.',
  })
