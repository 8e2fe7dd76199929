/** A folder of its own for each test of a file, gone afterwards. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach } from 'vitest'

export interface TemporaryFolder {
  readonly path: string
  at(name: string): string
}

/** To be called where tests are declared. */
export function temporaryFolder(): TemporaryFolder {
  let path = ''
  beforeEach(() => {
    path = mkdtempSync(join(tmpdir(), 'tern-test-'))
  })
  afterEach(() => rmSync(path, { recursive: true, force: true }))
  return {
    get path() {
      return path
    },
    at: name => join(path, name),
  }
}

/** Everything in the files of a folder, as latin1 text. */
export const allBytesIn = (folder: string): string =>
  readdirSync(folder, { recursive: true })
    .map(name => join(folder, String(name)))
    .filter(path => statSync(path).isFile())
    .map(path => readFileSync(path, 'latin1'))
    .join('')

/** The code of what a promise is rejected with; null: it is not. */
export const codeOf = (promise: Promise<unknown>): Promise<string | null> =>
  promise.then(
    () => null,
    error => error.code,
  )
