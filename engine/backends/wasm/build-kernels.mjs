/**
 * Compiles kernels/ to out/kernels/{relaxed-simd,simd,scalar}.wasm, when the sources have changed. Plain Node, version 20
 * or newer: `node engine/backends/wasm/build-kernels.mjs`, or `ensureKernels()` from launchers and tests.
 */
import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const HERE = dirname(fileURLToPath(import.meta.url))
const ROOT = join(HERE, '../../..')
const SOURCES = join(HERE, 'kernels')
export const KERNEL_FOLDER = join(ROOT, 'out/kernels')

const COMMON = [
  'index.ts',
  '-O3',
  '--noAssert',
  '--runtime=stub',
  '--importMemory',
  '--noExportMemory',
  '--sharedMemory',
  '--initialMemory=1',
  '--maximumMemory=65536',
  // v128 in functions that files share: none of them is exported by the module.
  '--disableWarning=AS112',
]
const VARIANTS = {
  'relaxed-simd': ['--enable=simd,relaxed-simd,threads'],
  simd: ['--enable=simd,threads', '--disable=relaxed-simd'],
  scalar: ['--enable=threads', '--disable=simd,relaxed-simd'],
}

/** Makes the modules be there and current; returns their folder. Throws an Error with the compiler's messages. */
export async function ensureKernels() {
  const names = (await readdir(SOURCES)).filter(name => name.endsWith('.ts')).sort()
  const sources = new Map()
  const hash = createHash('sha256').update(await readFile(fileURLToPath(import.meta.url)))
  for (const name of names) {
    const text = await readFile(join(SOURCES, name), 'utf8')
    sources.set(name, text)
    hash.update(`${name}\0${text}\0`)
  }
  const stamp = hash.digest('hex')
  const stampFile = join(KERNEL_FOLDER, 'stamp')
  if ((await readFile(stampFile, 'utf8').catch(() => '')) === stamp) return KERNEL_FOLDER

  const { default: asc } = await import('assemblyscript/asc')
  await mkdir(KERNEL_FOLDER, { recursive: true })
  for (const [variant, flags] of Object.entries(VARIANTS)) {
    let binary = null
    const result = await asc.main([...COMMON, ...flags, '--outFile=kernels.wasm'], {
      readFile: name => sources.get(name.replace(/^\.\//, '')) ?? null,
      writeFile: (_name, bytes) => {
        binary = bytes
      },
      listFiles: () => [],
    })
    if (result.error || binary === null) {
      throw new Error(`The ${variant} kernels do not compile.\n${result.stderr.toString()}`, { cause: result.error })
    }
    await replaceFile(join(KERNEL_FOLDER, `${variant}.wasm`), binary)
  }
  await replaceFile(stampFile, stamp)
  return KERNEL_FOLDER
}

/** Whole or not at all: another process may compile or read at the same time. */
async function replaceFile(path, bytes) {
  const temporary = `${path}.${process.pid}`
  await writeFile(temporary, bytes)
  await rename(temporary, path)
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  try {
    await ensureKernels()
  } catch (error) {
    console.error(error instanceof Error ? error.message : error)
    process.exitCode = 1
  }
}
