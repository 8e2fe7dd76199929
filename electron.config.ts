/** How Electron's bundles and the window are built into out/; the browser shell builds the window alone from `windowConfig`. */
import { cp, mkdir, writeFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { fileURLToPath } from 'node:url'
import react from '@vitejs/plugin-react'
import { defineConfig, type UserConfig } from 'electron-vite'
import type { Plugin, UserConfig as ViteConfig } from 'vite'
import { makeEngineManifest } from './main/host/engine-files.ts'

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url))

/** Relative URLs: the window is served from tern://app/ and from below a random path on 127.0.0.1. */
export const windowConfig = {
  root: path('renderer'),
  base: './',
  plugins: [react()],
  build: {
    outDir: path('out/renderer'),
    emptyOutDir: true,
    target: 'es2024',
    // They know light-dark() and :dir() themselves; the bundler's stand-ins are wrong for dir="auto".
    cssTarget: ['chrome125', 'firefox128', 'safari18'],
    // The content security policy allows no data: scripts and fonts.
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 4096,
    rolldownOptions: { input: path('renderer/index.html') },
  },
} satisfies ViteConfig

/** The engine reads its kernels and shaders by name: they lie beside its bundle, and their hashes in the main process's. */
const completeEngine: Plugin = {
  name: 'complete-engine',
  async writeBundle() {
    await cp(path('out/kernels'), path('out/engine/kernels'), { recursive: true })
    await cp(path('shaders'), path('out/engine/shaders'), {
      recursive: true,
      filter: source => !basename(source).includes('.') || source.endsWith('.wgsl'),
    })
    await mkdir(path('out/main'), { recursive: true })
    await writeFile(path('out/main/engine-files.json'), JSON.stringify(makeEngineManifest(path('.'))))
  },
}

/**
 * The engine child: plain Node's, outside of Electron's archive. Its libraries are bundled, since no node_modules lies
 * beside it; only `webgpu`, which is optional and native, is looked up.
 */
export const engineConfig = {
  plugins: [completeEngine],
  ssr: { noExternal: true, external: ['webgpu'] },
  build: {
    ssr: true,
    outDir: path('out/engine'),
    emptyOutDir: true,
    target: 'node24',
    minify: false,
    rolldownOptions: {
      input: {
        entry: path('main/engine-process/entry.ts'),
        'wasm-thread': path('main/engine-process/wasm-thread.ts'),
        'list-adapters': path('main/engine-process/list-adapters.ts'),
      },
      output: { entryFileNames: '[name].js', chunkFileNames: 'chunks/[name]-[hash].js' },
    },
  },
} satisfies ViteConfig

/** Electron's main process and its preload. */
export const mainConfig = {
  main: {
    build: {
      outDir: path('out/main'),
      rolldownOptions: {
        input: { index: path('main/electron/index.ts'), 'store-worker': path('main/services/store/worker.ts') },
        output: { entryFileNames: '[name].js', chunkFileNames: 'chunks/[name]-[hash].js' },
      },
    },
  },
  preload: {
    build: {
      outDir: path('out/preload'),
      // A sandboxed preload is one CommonJS file that requires nothing but electron.
      externalizeDeps: false,
      rolldownOptions: {
        input: { preload: path('main/electron/preload.ts') },
        output: { format: 'cjs', entryFileNames: '[name].cjs' },
      },
    },
  },
} satisfies UserConfig

export default defineConfig({ ...mainConfig, renderer: windowConfig })
