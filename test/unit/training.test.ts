/** The training recipe: its lint and its smoke test, where their programs are installed; skipped, and counted, elsewhere. */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const cwd = fileURLToPath(new URL('../../training', import.meta.url))
const run = (command: string, args: string[]) => spawnSync(command, args, { cwd, encoding: 'utf8' })
const works = (command: string, args: string[]) => run(command, args).status === 0

const hasRuff = works('ruff', ['--version'])
const hasTorch = works('python3', ['-c', 'import torch, tokenizers, numpy'])

it.skipIf(!hasRuff)('passes its lint', () => {
  expect(run('ruff', ['check', '.'])).toMatchObject({ status: 0 })
  expect(run('ruff', ['format', '--check', '.'])).toMatchObject({ status: 0 })
})

it.skipIf(!hasTorch)(
  'trains, exports and writes a model on a CPU',
  () => {
    const { status, stdout, stderr } = run('python3', ['tests/smoke.py'])
    expect({ status, stderr }).toMatchObject({ status: 0 })
    expect(stdout.trim().split('\n').at(-1)).toBe('passed')
  },
  600_000,
)
