/** What a command writes: never over what it reads, and over another file only with --force. */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { TernError } from '../../contract/errors.ts'
import { UsageError } from './command-context.ts'
import { absolutePath } from './input-files.ts'

/** A file that appears whole at `finish`, or not at all. */
export interface OutputFile {
  write(bytes: Uint8Array): Promise<void>
  finish(): Promise<void>
  /** No effect after `finish`. */
  abort(): Promise<void>
}

/**
 * The absolute path of an output. `inputs` are files and folders, absolute, that the command reads. Throws
 * `invalid-argument` when the output is one of these files, by whatever name or link.
 */
export async function outputPath(given: string, inputs: readonly string[]): Promise<string> {
  if (/[\\/]$/.test(given)) throw new UsageError(`${given} names a folder: give the name of a file to write.`)
  const path = absolutePath(given)
  const output = await identityOf(path)
  if (output === null) return path
  for (const input of (await Promise.all(inputs.map(filesOf))).flat()) {
    if ((await identityOf(input)) !== output) continue
    throw new TernError({
      code: 'invalid-argument',
      message: `${given} is read by this command, so it cannot be written.`,
      ...(input === path ? {} : { actual: `the same file as ${input}` }),
      remedy: 'Choose another name.',
    })
  }
  return path
}

/** A file opened before the work, so that a place that cannot be written is told before anything is computed. */
export async function openOutput(path: string, { force }: { force?: true }): Promise<OutputFile> {
  // Loaded when it is needed: most commands write no file.
  const { createSink } = await import('../engine-process/file-sink.ts')
  return createSink(path, { replace: force === true })
}

/** What a folder's conversion may read: GGUF files in it are nobody's input. */
async function filesOf(input: string): Promise<string[]> {
  const names = await readdir(input).catch(() => null)
  if (names === null) return [input]
  return names.filter(name => !name.toLowerCase().endsWith('.gguf')).map(name => join(input, name))
}

/** The same for two names of one file; null where there is none. */
async function identityOf(path: string): Promise<string | null> {
  const status = await stat(path, { bigint: true }).catch(() => null)
  return status === null ? null : `${status.dev}:${status.ino}`
}
