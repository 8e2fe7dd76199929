/** `npm start`: its options, when Electron can run, and the browser that it opens. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it, vi } from 'vitest'
import { endWithNpm } from '../../main/browser-shell/end-with-npm.ts'
import { noBrowserReason } from '../../main/browser-shell/open-browser.ts'
import { parseStartOptions } from '../../main/host/start-options.ts'
import { electronObstacle, findElectronBinary } from '../../main/launcher/electron-binary.ts'

describe('options', () => {
  it('have defaults, and are read', () => {
    expect(parseStartOptions([])).toEqual({ browser: false, open: true, help: false })
    const here = fileURLToPath(import.meta.url)
    expect(parseStartOptions(['--browser', '--no-open', '--port', '8080', '--threads=2', '--model', here])).toEqual({
      browser: true,
      open: false,
      help: false,
      port: 8080,
      threads: 2,
      modelPath: here,
    })
  })

  it('choose what computes', () => {
    expect(parseStartOptions(['--backend', 'webgpu', '--adapter', 'integrated'])).toMatchObject({
      backend: 'webgpu',
      adapter: 'integrated',
    })
    expect(() => parseStartOptions(['--backend', 'cuda'])).toThrow('auto, reference, wasm, webgpu')
  })

  it('that are wrong are named', () => {
    for (const [args, text] of [
      [['--port', 'x'], '--port'],
      [['--port', '70000'], '65535'],
      [['--port', ''], '--port'],
      [['--threads', '0'], '--threads'],
      [['--threads', '1.5'], '--threads'],
      [['--model', '/no/such/model.gguf'], 'does not exist'],
      [['--unknown'], '--unknown'],
      [['stray'], 'stray'],
    ] as const) {
      expect(() => parseStartOptions(args), args.join(' ')).toThrow(text)
    }
  })
})

describe('Electron', () => {
  it('needs a display, and a user that its sandbox takes, on Linux', () => {
    const linux = { platform: 'linux', env: { DISPLAY: ':0' }, userId: 1000 } as const
    expect(electronObstacle(linux)).toBeNull()
    expect(electronObstacle({ ...linux, env: { WAYLAND_DISPLAY: 'wayland-0' } })).toBeNull()
    expect(electronObstacle({ ...linux, env: {} })).toBe('There is no display')
    expect(electronObstacle({ ...linux, userId: 0 })).toContain('root')
    expect(electronObstacle({ platform: 'darwin', env: {}, userId: 0 })).toBeNull()
    expect(electronObstacle({ platform: 'win32', env: {}, userId: undefined })).toBeNull()
  })

  it('is found only when its binary is there', () => {
    const folder = mkdtempSync(join(tmpdir(), 'tern-electron-'))
    try {
      expect(findElectronBinary(folder)).toBeNull()
      writeFileSync(join(folder, 'path.txt'), 'electron')
      expect(findElectronBinary(folder)).toBeNull()
      mkdirSync(join(folder, 'dist'))
      writeFileSync(join(folder, 'dist/electron'), '')
      expect(findElectronBinary(folder)).toBe(join(folder, 'dist/electron'))
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})

it('the browser is opened only where somebody sees it', () => {
  expect(noBrowserReason({ DISPLAY: ':0' }, 'linux')).toBeNull()
  expect(noBrowserReason({}, 'linux')).toContain('display')
  expect(noBrowserReason({ DISPLAY: ':0', CI: 'true' }, 'linux')).toContain('CI')
  expect(noBrowserReason({}, 'darwin')).toBeNull()
})

it('only what npm started is watched', () => {
  vi.useFakeTimers()
  endWithNpm({})
  expect(vi.getTimerCount()).toBe(0)
  endWithNpm({ npm_lifecycle_event: 'start' })
  expect(vi.getTimerCount()).toBe(1)
  vi.useRealTimers()
})
