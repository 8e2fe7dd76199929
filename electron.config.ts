/** How Electron's bundles and the window are built into out/; the browser shell builds the window alone from `windowConfig`. */
import { cp } from 'node:fs/promises'
import { basename } from 'node:path'
import { fileURLToPath } from 'node:url'
import react from '@vitejs/plugin-react'
import { defineConfig, type UserConfig } from 'electron-vite'
import type { Plugin, UserConfig as ViteConfig } from 'vite'

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

/** The engine process reads the shaders by name; beside the bundles there is a copy of them. */
const copyShaders: Plugin = {
  name: 'copy-shaders',
  async writeBundle() {
    await cp(path('shaders'), path('out/shaders'), {
      recursive: true,
      filter: source => !basename(source).includes('.') || source.endsWith('.wgsl'),
    })
  },
}

/** Electron's main process, its preload, and the engine process. */
export const mainConfig = {
  main: {
    plugins: [copyShaders],
    build: {
      outDir: path('out/main'),
      rolldownOptions: {
        // Optional, with a library of the platform's own.
        external: ['webgpu'],
        input: {
          index: path('main/electron/index.ts'),
          'engine-process': path('main/engine-process/entry.ts'),
          'wasm-thread': path('main/engine-process/wasm-thread.ts'),
          'list-adapters': path('main/engine-process/list-adapters.ts'),
        },
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
