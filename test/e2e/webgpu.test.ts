/** The GPU backend on the `navigator.gpu` of a real Chromium, which computes on the processor (SwiftShader). */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { type Browser, chromium } from 'playwright-core'
import { build, type Rolldown } from 'vite'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readShaders } from '../../main/engine-process/webgpu-device.ts'
import { findChromium } from '../chromium.ts'
import { FLAGS, noChromiumReason } from './browser.ts'
import type { PageResult } from './webgpu-page.ts'

const WEBGPU_FLAGS = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader']

let server: Server
let browser: Browser

describe.skipIf(noChromiumReason !== null)(
  `WebGPU in Chromium${noChromiumReason === null ? '' : ` (${noChromiumReason})`}`,
  () => {
    beforeAll(async () => {
      server = createServer((_request, response) => {
        response.setHeader('content-type', 'text/html; charset=utf-8')
        response.end('<!doctype html><title>WebGPU</title>')
      })
      await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
      const args = [...FLAGS.filter(flag => flag !== '--disable-gpu'), ...WEBGPU_FLAGS]
      browser = await chromium.launch({ executablePath: findChromium()!, args })
    })
    afterAll(async () => {
      await browser?.close()
      server?.close()
    })

    it('computes what the reference computes', { timeout: 300_000 }, async () => {
      const page = await browser.newPage()
      const faults: string[] = []
      page.on('console', message => {
        if (message.type() === 'error') faults.push(message.text())
      })
      page.on('pageerror', error => faults.push(error.message))
      await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`)
      await page.addScriptTag({ content: await bundle() })
      const result: PageResult = await page.evaluate(
        shaders => (globalThis as unknown as { webgpuPage: PageModule }).webgpuPage.runInPage(shaders),
        await readShaders(),
      )
      expect(result.adapter).toContain('swiftshader')
      expect(result.description).toContain('software')
      expect(result.differences).toEqual([])
      expect(result).toMatchObject({ logits: -1, state: -1 })
      expect(result.tokens).toHaveLength(12)
      expect(faults).toEqual([])
    })
  },
)

type PageModule = typeof import('./webgpu-page.ts')

async function bundle(): Promise<string> {
  const output = (await build({
    configFile: false,
    logLevel: 'error',
    build: {
      write: false,
      minify: false,
      lib: {
        entry: fileURLToPath(new URL('./webgpu-page.ts', import.meta.url)),
        formats: ['iife'],
        name: 'webgpuPage',
      },
    },
  })) as Rolldown.RolldownOutput[]
  return output[0]!.output[0].code
}
