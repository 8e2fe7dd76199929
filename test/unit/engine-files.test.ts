/** The engine's files beside the app's archive: any change is found before the child is started. */
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { toErrorData } from '../../contract/errors.ts'
import { engineChild } from '../../main/host/engine-child.ts'
import { checkEngineFiles, makeEngineManifest, readEngineManifest } from '../../main/host/engine-files.ts'
import { createSupervisor } from '../../main/host/supervisor.ts'

let root: string
let manifestPath: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'tern-files-'))
  mkdirSync(join(root, 'out/engine/kernels'), { recursive: true })
  mkdirSync(join(root, 'models'))
  writeFileSync(join(root, 'out/engine/entry.js'), 'process.exit(0)')
  writeFileSync(join(root, 'out/engine/kernels/simd.wasm'), new Uint8Array(3_000_000))
  writeFileSync(join(root, 'models/tern.gguf'), 'GGUF')
  manifestPath = join(root, 'engine-files.json')
  writeFileSync(manifestPath, JSON.stringify(makeEngineManifest(root)))
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

const check = () => checkEngineFiles(root, readEngineManifest(manifestPath))

it('names every file, and passes as built', () => {
  const { files } = makeEngineManifest(root)
  expect(files.map(({ path }) => path)).toEqual([
    'models/tern.gguf',
    'out/engine/entry.js',
    'out/engine/kernels/simd.wasm',
  ])
  expect(check).not.toThrow()
})

describe('before a start', () => {
  const damages: [string, string, () => void][] = [
    ['a byte more', 'entry.js', () => appendFileSync(join(root, 'out/engine/entry.js'), ' ')],
    ['other bytes of the same length', 'tern.gguf', () => writeFileSync(join(root, 'models/tern.gguf'), 'GGUX')],
    ['the last byte cut off', 'simd.wasm', () => truncateSync(join(root, 'out/engine/kernels/simd.wasm'), 2_999_999)],
    ['a missing file', 'simd.wasm', () => rmSync(join(root, 'out/engine/kernels/simd.wasm'))],
    [
      'a folder in its place',
      'tern.gguf',
      () => {
        rmSync(join(root, 'models/tern.gguf'))
        mkdirSync(join(root, 'models/tern.gguf'))
      },
    ],
    ['no list', 'engine-files.json', () => rmSync(manifestPath)],
    ['a damaged list', 'engine-files.json', () => truncateSync(manifestPath, 40)],
    ['an empty list', 'engine-files.json', () => writeFileSync(manifestPath, '{"files":[]}')],
  ]
  it.each(damages)('%s is told, with the file and what to do', (_, name, damage) => {
    damage()
    let error: unknown
    try {
      check()
    } catch (thrown) {
      error = thrown
    }
    expect(toErrorData(error)).toMatchObject({ code: 'file-unreadable', remedy: expect.stringContaining('Install') })
    expect((error as Error).message).toContain(name)
  })
})

it('a child whose files were changed is never started, and not tried again and again', async () => {
  appendFileSync(join(root, 'out/engine/entry.js'), ' ')
  let checks = 0
  const spawn = engineChild({
    nodePath: process.execPath,
    entry: join(root, 'out/engine/entry.js'),
    check: () => {
      checks++
      check()
    },
  })
  const supervisor = createSupervisor(spawn, { path: '/models/x.gguf', name: 'x', isEmbedded: false, backend: 'auto' })
  expect(supervisor.status).toMatchObject({ phase: 'failed', error: { code: 'file-unreadable' } })
  expect(supervisor.pid).toBeUndefined()
  expect(checks).toBe(1)
  // Put right and asked to try again, it goes through.
  writeFileSync(join(root, 'out/engine/entry.js'), 'process.exit(0)')
  supervisor.retry()
  expect(checks).toBe(2)
  expect(supervisor.pid).toBeGreaterThan(0)
  await supervisor.stop()
})
