/**
 * Where this folder's code finds what it does not import: it runs from source, and as Electron's bundle in out/main (or
 * out/main/chunks).
 */
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const first = (candidates: URL[]): URL =>
  candidates.find(candidate => existsSync(fileURLToPath(candidate))) ?? candidates[0]!

const beside = (relative: string) => new URL(relative, import.meta.url)

/** A module of this folder that runs on a thread, or as a process, of its own. */
export const builtFile = (name: string): URL =>
  first([beside(`./${name}.ts`), beside(`./${name}.js`), beside(`../${name}.js`)])

/** The folder of the compiled WASM kernels, with a slash at its end. */
export const kernelFolder = (): URL =>
  first([beside('../../out/kernels/'), beside('../kernels/'), beside('../../kernels/')])

/** The folder of the shaders: the repository's, or their copy beside Electron's bundles. */
export const shaderFolder = (): URL =>
  first([beside('../../shaders/embedding.wgsl'), beside('../shaders/embedding.wgsl')].map(file => new URL('.', file)))
