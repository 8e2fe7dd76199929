/**
 * Where this folder's code finds what it does not import: it runs from source, and as the engine child's bundle in
 * out/engine (or out/engine/chunks), with copies of the kernels and shaders beside it.
 */
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const first = (candidates: URL[]): URL =>
  candidates.find(candidate => existsSync(fileURLToPath(candidate))) ?? candidates.at(-1)!

const beside = (relative: string) => new URL(relative, import.meta.url)

/** A module of this folder that runs on a thread, or as a process, of its own. */
export const builtFile = (name: string): URL =>
  first([beside(`../${name}.js`), beside(`./${name}.js`), beside(`./${name}.ts`)])

/** The folder of the compiled WASM kernels, with a slash at its end. */
export const kernelFolder = (): URL =>
  first([beside('./kernels/'), beside('../kernels/'), beside('../../out/kernels/')])

/** The folder of the shaders, with a slash at its end. */
export const shaderFolder = (): URL => first([beside('./shaders/'), beside('../shaders/'), beside('../../shaders/')])
