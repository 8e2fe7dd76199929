/** `tern eval --prompts` as users start it: the embedded model answers what its card and its page of answers say. */
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, expect, it } from 'vitest'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const read = (name: string) => readFileSync(join(ROOT, name), 'utf8')
const folder = mkdtempSync(join(tmpdir(), 'tern-answers-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

it('the embedded model passes as many prompts as its card says, with the replies of the page', async () => {
  const page = join(folder, 'answers.md')
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [
      'main/launcher/tern.mjs',
      'eval',
      '--prompts',
      'models/eval100.json',
      '--backend',
      'wasm',
      '--page',
      page,
      '--json',
    ],
    { cwd: ROOT },
  )
  const { passed, total, backend, model } = JSON.parse(stdout)
  expect({ passed, total, backend, model }).toEqual({ passed: 82, total: 100, backend: 'wasm', model: 'Tern 98M' })
  expect(read('models/README.md')).toContain('**82 of 100**')
  expect(readFileSync(page, 'utf8')).toBe(read('docs/model-answers.md'))
}, 120_000)
