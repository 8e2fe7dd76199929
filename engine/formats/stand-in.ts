/**
 * What downloads leave in the place of a file: a Git LFS pointer where a repository was fetched without its large files, or a
 * page of the website that says why there is no file.
 */

import type { ByteSource } from '../engine-environment.ts'
import { EngineError } from '../errors.ts'

const LFS_FIRST_LINE = 'version https://git-lfs.github.com/spec/'
const MAX_POINTER_BYTES = 1024
const HEAD_BYTES = 64

/** Throws `format-unknown` for such a file. */
export async function refuseStandIn(source: ByteSource): Promise<void> {
  const decode = async (byteCount: number) =>
    new TextDecoder().decode(await source.read(0, Math.min(byteCount, source.size)))
  const head = await decode(HEAD_BYTES)
  if (/^\s*<(?:!doctype html|html)\b/i.test(head)) {
    throw new EngineError('format-unknown', `"${source.name}" is a web page, not the file itself.`, {
      actual: 'HTML',
      remedy:
        'Open it in a browser: it may say that you have to sign in or accept a licence. Then download the file again.',
    })
  }
  if (!head.startsWith(LFS_FIRST_LINE) || source.size > MAX_POINTER_BYTES) return
  const bytes = /^size (\d+)$/m.exec(await decode(source.size))?.[1]
  throw new EngineError('format-unknown', `"${source.name}" is a Git LFS pointer, not the file itself.`, {
    ...(bytes === undefined ? {} : { expected: `a file of ${bytes} bytes` }),
    actual: `a pointer of ${source.size} bytes`,
    remedy: 'Run "git lfs pull" in its folder, or download this file from the page of the model.',
  })
}
