/**
 * Electron: its bundles, run under Node as far as that goes, and the true application where its binary and a screen are.
 */
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, it } from 'vitest'
import { ensureElectronBundles } from '../../main/browser-shell/window-bundle.ts'
import { createSupervisor } from '../../main/host/supervisor.ts'
import { electronObstacle, findElectronBinary } from '../../main/launcher/electron-binary.ts'
import { childOf } from '../engine-child.ts'
import { chooseSoftwareAdapter, noWebGpuReason } from '../webgpu-backend.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const binary = findElectronBinary()
const reason =
  binary === null
    ? "Electron's binary is not installed"
    : electronObstacle({ platform: process.platform, env: process.env, userId: process.getuid?.() })

beforeAll(ensureElectronBundles)

describe('the bundles', () => {
  it('the preload is one CommonJS file that requires electron only', () => {
    const preload = readFileSync(`${ROOT}/out/preload/preload.cjs`, 'utf8')
    expect([...preload.matchAll(/require\(([^)]*)\)/g)].map(match => match[1])).toEqual(['"electron"'])
    expect(preload).not.toMatch(/^\s*(import|export) /m)
  })

  it('the window asks for nothing inline and nothing absolute', () => {
    const html = readFileSync(`${ROOT}/out/renderer/index.html`, 'utf8')
    expect(html).not.toMatch(/<script(?![^>]*\bsrc=)|<style|\son\w+=|style=/)
    for (const [, url] of html.matchAll(/\b(?:src|href)="([^"]*)"/g)) {
      expect(url).toMatch(/^\.\//)
      expect(existsSync(`${ROOT}/out/renderer/${url}`)).toBe(true)
    }
  })

  it('the engine process finds its kernels and threads, loads the model and writes', async () => {
    const supervisor = createSupervisor(childOf('out/engine/entry.js'), {
      path: `${ROOT}/models/tern-98m-v2.gguf`,
      name: 'tern',
      isEmbedded: true,
      backend: 'wasm',
      threads: 2,
    })
    try {
      const { client } = await supervisor.whenReady()
      expect(supervisor.status).toMatchObject({ loaded: { backend: { name: 'wasm', threads: 2 } } })
      const sessionId = await client.call('session.create', undefined)
      let text = ''
      const input = { kind: 'text', text: 'The sun', parseSpecial: false } as const
      await client.subscribe('generate', { sessionId, input, sampling: { temperature: 0, maxTokens: 8 } }, event => {
        if (event.kind === 'text') text += event.text
      }).ended
      expect(text).not.toBe('')
    } finally {
      await supervisor.stop()
    }
  })
})

describe.skipIf(noWebGpuReason !== null)(`the bundles on a software GPU`, () => {
  it('the engine process finds Dawn and its shaders, and lists the adapter', async () => {
    chooseSoftwareAdapter()
    // Somewhere else than in the repository: the shaders beside the bundles are the ones.
    expect(readFileSync(`${ROOT}/out/engine/shaders/embedding.wgsl`)).toEqual(
      readFileSync(`${ROOT}/shaders/embedding.wgsl`),
    )
    const supervisor = createSupervisor(childOf('out/engine/entry.js'), {
      path: `${ROOT}/models/tern-98m-v2.gguf`,
      name: 'tern',
      isEmbedded: true,
      backend: 'webgpu',
    })
    try {
      const { client } = await supervisor.whenReady()
      expect(supervisor.status).toMatchObject({ loaded: { backend: { name: 'webgpu' } } })
      expect(await client.call('memory', undefined)).toMatchObject({ place: 'gpu' })
      expect(await client.call('backend.adapters', undefined)).toMatchObject([{ isSoftware: true }])
    } finally {
      await supervisor.stop()
    }
  })
})

describe.skipIf(reason !== null)(`the application${reason === null ? '' : ` (${reason})`}`, () => {
  it('opens its window, chats, and is closed in on itself', async () => {
    const { _electron } = await import('playwright-core')
    const app = await _electron.launch({ executablePath: binary!, args: [ROOT] })
    try {
      const page = await app.firstWindow()
      expect(page.url()).toBe('tern://app/')
      await page.getByRole('textbox', { name: 'Message' }).fill('Hello! Who are you?')
      await page.keyboard.press('Enter')
      await page.getByText('Tern').first().waitFor()
      await page.getByRole('button', { name: 'Regenerate' }).waitFor()
      const exposed = await page.evaluate(() => ({
        require: 'require' in window,
        process: 'process' in window,
        tern: Object.keys((window as unknown as { tern: object }).tern),
      }))
      expect(exposed).toMatchObject({ require: false, process: false, tern: ['connect'] })
      const isFetched = await page.evaluate(() =>
        fetch('https://example.com/').then(
          () => true,
          () => false,
        ),
      )
      expect(isFetched).toBe(false)
    } finally {
      await app.close()
    }
  })
})
