/** Small text files of a checkpoint folder, with a bound on their size. */

import type { ByteFolder } from '../engine-environment.ts'
import { EngineError } from '../errors.ts'
import { refuseStandIn } from './stand-in.ts'

/** The whole of a small file. Throws `limit-exceeded` before reading when it is larger than `limitBytes`. */
export async function readSmallFile(folder: ByteFolder, fileName: string, limitBytes: number): Promise<Uint8Array> {
  const source = await folder.open(fileName)
  try {
    if (source.size > limitBytes) {
      throw new EngineError('limit-exceeded', `"${fileName}" is implausibly large.`, {
        expected: `at most ${limitBytes} bytes`,
        actual: `${source.size} bytes`,
        remedy: 'The file is damaged: download it again.',
      })
    }
    await refuseStandIn(source)
    return await source.read(0, source.size)
  } finally {
    await source.close()
  }
}

/** UTF-8 text of a small file. Throws `format-invalid` when it is not UTF-8. */
export async function readText(folder: ByteFolder, fileName: string, limitBytes: number): Promise<string> {
  const bytes = await readSmallFile(folder, fileName, limitBytes)
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new EngineError('format-invalid', `"${fileName}" is not UTF-8 text.`, {
      remedy: 'The file is damaged: download it again.',
      cause,
    })
  }
}

/** Parsed JSON of a small file, to be checked by a schema. Throws `format-invalid`. */
export async function readJson(folder: ByteFolder, fileName: string, limitBytes: number): Promise<unknown> {
  const text = await readText(folder, fileName, limitBytes)
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new EngineError('format-invalid', `"${fileName}" is not valid JSON.`, {
      remedy: 'The file is damaged: download it again.',
      cause,
    })
  }
}
