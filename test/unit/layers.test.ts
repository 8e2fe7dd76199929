/**
 * The imports that must never exist (docs/ARCHITECTURE.md). Every import, re-export, dynamic import, require and worker URL of
 * the tree is found by the scanner below and judged by one table. The table is tested too: each rule
 * has a line that it must refuse. Globals are no imports: engine/tsconfig.json keeps those of Node and the DOM out.
 */
import { globSync, readFileSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const PRODUCT = ['contract', 'engine', 'main', 'renderer', 'shaders']

/** A build script of the repository that lives beside its sources; it runs before the product and is no part of it. */
const BUILD_SCRIPT = 'engine/backends/wasm/build-kernels.mjs'
/** Libraries that the pure engine may use. */
const ENGINE_LIBRARIES = ['valibot', '@huggingface/tokenizers', '@huggingface/jinja']
/** What an AssemblyScript kernel may import: other kernels. */
const isKernel = (file: string) => file.startsWith('engine/backends/wasm/kernels/')

interface Import {
  /** Path from the root, or a package's name. */
  target: string
  kind: 'file' | 'package' | 'node' | 'electron'
}

/** Module specifiers in a source, comments left out. */
function specifiersOf(source: string): string[] {
  const code = withoutComments(source)
  const patterns = [
    /\b(?:import|export)\s+(?:type\s+)?[\w*{}\s,$]+?\s+from\s*(['"])([^'"]+)\1/g,
    /\bimport\s*(['"])([^'"]+)\1/g,
    /\b(?:import|require|require\.resolve)\s*\(\s*(['"`])([^'"`]+)\1/g,
    /\bnew\s+URL\(\s*(['"`])([^'"`]+)\1\s*,\s*import\.meta\.url/g,
    /\bimport\.meta\.(?:glob|resolve)\(\s*(['"`])([^'"`]+)\1/g,
    /\b@import\s+(['"])([^'"]+)\1/g,
  ]
  return patterns.flatMap(pattern => [...code.matchAll(pattern)].map(match => match[2]!))
}

/** Removes comments and keeps strings, templates and regular expressions as they are. */
function withoutComments(source: string): string {
  const token = /\/\*[\s\S]*?\*\/|(?<=^|[\s;{}(,])\/\/[^\n]*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`/g
  return source.replace(token, text => (text.startsWith('/') ? ' ' : text))
}

function resolveImport(file: string, specifier: string): Import | null {
  if (specifier === 'electron' || specifier.startsWith('electron/')) return { target: 'electron', kind: 'electron' }
  if (specifier.startsWith('node:') || builtinModules.includes(specifier.split('/')[0]!)) {
    return { target: specifier, kind: 'node' }
  }
  if (specifier.startsWith('.')) return { target: posix.join(posix.dirname(file), specifier), kind: 'file' }
  if (specifier.includes(':') || specifier.startsWith('/')) return null
  return { target: specifier, kind: 'package' }
}

const inFolder = (path: string, ...folders: string[]) =>
  folders.some(folder => path === folder || path.startsWith(`${folder}/`))
const backendOf = (path: string) => /^engine\/backends\/([^/]+)\//.exec(path)?.[1]

const serviceOf = (path: string): string | null => /^main\/services\/([^/]+)\//.exec(path)?.[1] ?? null

interface Rule {
  name: string
  breaks(file: string, imported: Import): boolean
  /** A file and a source that the rule must refuse. */
  mustRefuse: [file: string, source: string][]
}

const RULES: Rule[] = [
  {
    name: '1. the engine is pure: no Electron, Node, contract, main or renderer, and few libraries',
    breaks: (file, { target, kind }) =>
      inFolder(file, 'engine') &&
      (kind === 'electron' ||
        kind === 'node' ||
        (kind === 'package' && !ENGINE_LIBRARIES.some(library => inFolder(target, library))) ||
        (kind === 'file' && !inFolder(target, 'engine', 'shaders'))),
    mustRefuse: [
      ['engine/engine.ts', `import { readFile } from 'node:fs/promises'`],
      ['engine/engine.ts', `import fs from "fs"`],
      ['engine/formats/gguf.ts', `const { app } = await import('electron')`],
      ['engine/session.ts', `import type { Chat } from '../contract/app-api.ts'`],
      ['engine/session.ts', `import { x } from '../main/services/chats/chats.ts'`],
      ['engine/session.ts', `export * from '../renderer/app/main.tsx'`],
      ['engine/session.ts', `import lodash from 'lodash'`],
      ['engine/session.ts', `const worker = new URL('../main/x.ts', import.meta.url)`],
    ],
  },
  {
    name: '2. model, sampling and tokenizer know no concrete backend',
    breaks: (file, { target }) =>
      inFolder(file, 'engine/model', 'engine/sampling', 'engine/tokenizer') && backendOf(target) !== undefined,
    mustRefuse: [['engine/model/forward.ts', `import { referenceOps } from '../backends/reference/ops.ts'`]],
  },
  {
    name: '3. no backend imports another',
    breaks: (file, { target }) => {
      const [from, to] = [backendOf(file), backendOf(target)]
      return from !== undefined && to !== undefined && from !== to
    },
    mustRefuse: [['engine/backends/wasm/ops.ts', `import { exp } from '../reference/exp.ts'`]],
  },
  {
    name: '4. the reference stands on the definitions alone: ops, runners, errors, model and formats',
    breaks: (file, { target, kind }) =>
      inFolder(file, 'engine/backends/reference') &&
      (kind !== 'file' ||
        !(
          inFolder(target, 'engine/backends/reference', 'engine/model', 'engine/formats') ||
          [
            'engine/errors.ts',
            'engine/engine-environment.ts',
            'engine/backends/ops.ts',
            'engine/backends/backend.ts',
            'engine/backends/device-runner.ts',
            'engine/backends/process-device.ts',
          ].includes(target)
        )),
    mustRefuse: [
      ['engine/backends/reference/ops.ts', `import { kernels } from '../wasm/kernels.ts'`],
      ['engine/backends/reference/ops.ts', `import * as v from 'valibot'`],
      ['engine/backends/reference/ops.ts', `import { createSampler } from '../../sampling/sampler.ts'`],
    ],
  },
  {
    name: '5. the renderer knows contract only: no engine, main, Electron, Node',
    breaks: (file, { target, kind }) =>
      inFolder(file, 'renderer') &&
      (kind === 'electron' || kind === 'node' || (kind === 'file' && !inFolder(target, 'renderer', 'contract'))),
    mustRefuse: [
      ['renderer/app/main.tsx', `import { ipcRenderer } from 'electron'`],
      ['renderer/app/main.tsx', `import path from 'node:path'`],
      ['renderer/stores/chats.ts', `import { titleOf } from '../../main/services/chats/chats.ts'`],
      ['renderer/stores/chats.ts', `import('../../engine/errors.ts')`],
    ],
  },
  {
    name: '6. contract imports nothing else here',
    breaks: (file, { target, kind }) =>
      inFolder(file, 'contract') && (kind === 'file' ? !inFolder(target, 'contract') : target !== 'valibot'),
    mustRefuse: [
      ['contract/errors.ts', `import { ENGINE_ERROR_CODES } from '../engine/errors.ts'`],
      ['contract/rpc.ts', `import { EventEmitter } from 'node:events'`],
    ],
  },
  {
    name: '7. in main, only engine-process imports the engine',
    breaks: (file, { target }) =>
      inFolder(file, 'main') &&
      !inFolder(file, 'main/engine-process') &&
      inFolder(target, 'engine') &&
      target !== BUILD_SCRIPT,
    mustRefuse: [
      ['main/services/chats/chats.ts', `import { EngineError } from '../../../engine/errors.ts'`],
      ['main/cli/run.ts', `const { loadModel } = await import('../../engine/engine.ts')`],
    ],
  },
  {
    name: '8. only main/electron imports Electron',
    breaks: (file, { kind }) => inFolder(file, 'main') && !inFolder(file, 'main/electron') && kind === 'electron',
    mustRefuse: [
      ['main/services/chats/chats.ts', `import { app } from 'electron'`],
      ['main/launcher/start.ts', `import type { App } from 'electron/main'`],
      ['main/engine-process/entry.ts', `import 'electron'`],
    ],
  },
  {
    name: '8b. services and engine-process do not know the shells',
    breaks: (file, { target }) =>
      inFolder(file, 'main/services', 'main/engine-process') &&
      inFolder(target, 'main/browser-shell', 'main/cli', 'main/launcher', 'main/electron'),
    mustRefuse: [['main/services/chats/chats.ts', `import { openBrowser } from '../../browser-shell/open-browser.ts'`]],
  },
  {
    name: '8c. services know each other by their ports, and nothing of the host that puts them together',
    breaks: (file, { target, kind }) => {
      const service = serviceOf(file)
      if (service === null || kind !== 'file' || inFolder(target, 'contract', 'main/generation')) return false
      if (target === 'main/time.ts' || target === 'main/ids.ts') return false
      return serviceOf(target) !== service && !/^main\/services\/[^/]+\/ports\.ts$/.test(target)
    },
    mustRefuse: [
      ['main/services/telemetry/engine-memory.ts', `import { Chats } from '../chats/chats.ts'`],
      ['main/services/chats/chats.ts', `import { createSupervisor } from '../../host/supervisor.ts'`],
    ],
  },
  {
    name: '8d. the host puts services and the engine process together: no engine, no Electron, no shell',
    breaks: (file, { target, kind }) =>
      inFolder(file, 'main/host') &&
      (kind === 'electron' ||
        inFolder(target, 'engine', 'main/electron', 'main/browser-shell', 'main/cli', 'main/launcher') ||
        (inFolder(target, 'main/engine-process') &&
          !['main/engine-process/control.ts', 'main/engine-process/frame-transport.ts'].includes(target))),
    mustRefuse: [
      ['main/host/app-service.ts', `import { createEngineService } from '../engine-process/engine-service.ts'`],
      ['main/host/supervisor.ts', `import { runBrowserShell } from '../browser-shell/browser-shell.ts'`],
    ],
  },
  {
    name: '8e. generation, time and ids know the contract at most',
    breaks: (file, { target, kind }) =>
      (inFolder(file, 'main/generation') || file === 'main/time.ts' || file === 'main/ids.ts') &&
      kind === 'file' &&
      !inFolder(target, 'contract', 'main/generation'),
    mustRefuse: [['main/generation/generate.ts', `import { Chats } from '../services/chats/chats.ts'`]],
  },
  {
    name: '8f. databases, downloads and serial ports have one door each',
    breaks: (file, { target }) =>
      (target === 'node:sqlite' && file !== 'main/services/store/sqlite.ts') ||
      (/^(?:node:)?https$/.test(target) && file !== 'main/services/library/download.ts') ||
      (target === 'serialport' && file !== 'main/engine-process/links/serial.ts'),
    mustRefuse: [
      ['main/services/chats/chats.ts', `import { DatabaseSync } from 'node:sqlite'`],
      ['main/browser-shell/server.ts', `import https from 'node:https'`],
      ['main/engine-process/entry.ts', `import { SerialPort } from 'serialport'`],
    ],
  },
  {
    name: '9. nothing imports .wgsl: the host reads the files that shaders/index.ts lists and passes the texts on',
    breaks: (_file, { target }) => target.split('?')[0]!.endsWith('.wgsl'),
    mustRefuse: [
      ['engine/backends/webgpu/runner.ts', `import gemv from '../../../shaders/bitlinear-gemv.wgsl?raw'`],
      ['shaders/index.ts', `import gemv from './bitlinear-gemv.wgsl?raw'`],
    ],
  },
  {
    name: '9b. shaders are of the WebGPU backend and its host alone, and know nothing',
    breaks: (file, { target }) =>
      (inFolder(target, 'shaders') &&
        !inFolder(file, 'shaders', 'engine/backends/webgpu') &&
        file !== 'main/engine-process/webgpu-device.ts') ||
      inFolder(file, 'shaders'),
    mustRefuse: [
      ['engine/session.ts', `import { SHADER_STEMS } from '../shaders/index.ts'`],
      ['shaders/index.ts', `import { EngineError } from '../engine/errors.ts'`],
    ],
  },
  {
    name: '10. the product does not import test, training or gateware',
    breaks: (file, { target, kind }) =>
      inFolder(file, ...PRODUCT) && kind === 'file' && inFolder(target, 'test', 'training', 'gateware'),
    mustRefuse: [['main/launcher/start.ts', `import { createFakeEngine } from '../../test/fake-engine.ts'`]],
  },
  {
    name: 'AssemblyScript kernels import kernels only',
    breaks: (file, { target, kind }) =>
      isKernel(file) && (kind !== 'file' || !isKernel(target.endsWith('.ts') ? target : `${target}.ts`)),
    mustRefuse: [['engine/backends/wasm/kernels/gemv.ts', `import { PAGE_BYTES } from '../kernels.ts'`]],
  },
]

/** Broken rules of one file, as sentences. */
function violations(file: string, source: string): string[] {
  if (file === BUILD_SCRIPT) return []
  const imports = specifiersOf(source).flatMap(specifier => resolveImport(file, specifier) ?? [])
  return imports.flatMap(imported =>
    RULES.filter(rule => rule.breaks(file, imported)).map(rule => `${file} imports ${imported.target} (${rule.name})`),
  )
}

describe('forbidden imports', () => {
  const files = globSync(
    PRODUCT.map(folder => `${folder}/**/*.{ts,tsx,mts,mjs,js,cjs,css}`),
    { cwd: ROOT },
  ).map(file => file.replaceAll('\\', '/'))

  it('reads the whole tree', () => {
    for (const folder of ['contract', 'engine', 'main', 'renderer']) {
      expect(files.filter(file => file.startsWith(`${folder}/`)).length).toBeGreaterThan(3)
    }
  })

  it('there are none', () => {
    expect(files.flatMap(file => violations(file, readFileSync(`${ROOT}/${file}`, 'utf8')))).toEqual([])
  })

  it('files of main/electron are few, and everything that imports electron is there', () => {
    const importers = files.filter(file =>
      specifiersOf(readFileSync(`${ROOT}/${file}`, 'utf8')).some(specifier => /^electron(\/|$)/.test(specifier)),
    )
    expect(importers.length).toBeGreaterThan(0)
    expect(importers.filter(file => !file.startsWith('main/electron/'))).toEqual([])
  })

  describe('every rule can fail', () => {
    for (const rule of RULES) {
      it(rule.name, () => {
        expect(rule.mustRefuse.length).toBeGreaterThan(0)
        for (const [file, source] of rule.mustRefuse) {
          expect(
            violations(file, source).filter(sentence => sentence.includes(rule.name)),
            `${file}: ${source}`,
          ).toHaveLength(1)
        }
      })
    }
  })
})

describe('capabilities are asked, not names', () => {
  // The one place that knows which backends there are, and those that make and show them.
  const KNOWS_NAMES = ['main/engine-process/backend-choice.ts']
  const asksName =
    /(?:\binfo|\bbackend|\bnext|\bcurrent)\.name\s*[!=]==|\.name\s*[!=]==\s*'(?:reference|wasm|webgpu|fpga)'/
  const askers = (files: readonly string[], read: (file: string) => string) =>
    files.filter(file => !KNOWS_NAMES.includes(file) && !file.startsWith('contract/') && asksName.test(read(file)))

  it('in the engine and in main', () => {
    const files = globSync(['engine/**/*.ts', 'main/**/*.ts'], { cwd: ROOT }).map(file => file.replaceAll('\\', '/'))
    expect(askers(files, file => withoutComments(readFileSync(`${ROOT}/${file}`, 'utf8')))).toEqual([])
  })

  it('can fail', () => {
    for (const source of [`if (backend.info.name === 'webgpu') {`, `runner.info.name !== name`, `x.name === "wasm"`]) {
      expect(
        askers(['engine/x.ts'], () => source.replaceAll('"', "'")),
        source,
      ).toEqual(['engine/x.ts'])
    }
    expect(askers(['main/engine-process/backend-choice.ts'], () => `x.name === 'wasm'`)).toEqual([])
  })
})

describe('clocks and ids are arguments', () => {
  const REAL = /\b(?:Date\.now|performance\.now|setTimeout|setInterval|randomUUID)\b/
  it('in services and generation', () => {
    const files = globSync('main/{services,generation}/**/*.ts', { cwd: ROOT })
    expect(files.length).toBeGreaterThan(5)
    expect(files.filter(file => REAL.test(withoutComments(readFileSync(`${ROOT}/${file}`, 'utf8'))))).toEqual([])
  })

  it('the search finds them', () => {
    for (const line of ['const at = Date.now()', 'setTimeout(f, 1)', 'id: randomUUID(),']) expect(line).toMatch(REAL)
  })
})

describe('the scanner', () => {
  it('finds every way to import', () => {
    const source = `
      import a, { type B } from './a.ts'
      import type { C } from "./c.ts"
      import './effect.ts'
      import * as d from './d.ts'
      export { e } from './e.ts'
      export * from './f.ts'
      const g = await import('./g.ts')
      const h = require('./h.cjs')
      const i = new URL('./i.ts', import.meta.url)
      import {
        long,
      } from './long.ts'
    `
    const names = ['a.ts', 'c.ts', 'd.ts', 'e.ts', 'f.ts', 'long.ts', 'effect.ts', 'g.ts', 'h.cjs', 'i.ts']
    expect(specifiersOf(source).sort()).toEqual(names.map(name => `./${name}`).sort())
  })

  it('takes no comment for an import, and no string for a comment', () => {
    expect(specifiersOf(`// import a from './a.ts'\n/* import './b.ts' */`)).toEqual([])
    expect(specifiersOf(`const url = 'http://x'; import './c.ts'`)).toEqual(['./c.ts'])
  })
})
