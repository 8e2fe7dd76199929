/**
 * Reads a long text with one model on two backends and counts where they differ: the measure behind what
 * docs/model-format.md says of equality. Not part of `npm test`.
 *
 *   node test/long/bit-equality.ts [--tokens 100000] [--sequence 512] [--backends wasm,webgpu] [--model FILE] [--adapter NAME]
 *
 * The text is the repository's own pages and sources. Every sequence begins with an empty state, so that a difference, which
 * the state carries on, is counted once. Progress goes to stderr, one JSON object to stdout. Memory does not grow with the text.
 */
import { globSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import type { Backend } from '../../engine/backends/backend.ts'
import { loadModel } from '../../engine/engine.ts'
import { openGguf } from '../../engine/formats/gguf.ts'
import { nodeEngineEnvironment } from '../../main/engine-process/engine-environment.ts'
import { createBackend } from '../../main/engine-process/node-backends.ts'
import { createNodeWebGpuBackend } from '../../main/engine-process/webgpu-device.ts'
import { fileSource } from '../byte-sources.ts'
import { argMax } from '../conformance/compare.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
/** Roots a block takes: before i, f and g (which share it) and their norms' own, after h, before o, and thrice in the GLU. */
const ROOTS_PER_BLOCK = 7
const ROOTS_OF_HEAD = 2

const { values } = parseArgs({
  options: {
    tokens: { type: 'string', default: '100000' },
    sequence: { type: 'string', default: '512' },
    backends: { type: 'string', default: 'wasm,webgpu' },
    model: { type: 'string', default: `${ROOT}/models/tern-98m-v2.gguf` },
    adapter: { type: 'string' },
  },
})

async function makeBackend(name: string): Promise<Backend> {
  if (name === 'webgpu') {
    return (await createNodeWebGpuBackend(values.adapter === undefined ? {} : { adapter: values.adapter })).backend
  }
  if (name === 'wasm' || name === 'reference') return createBackend(name, undefined)
  throw new Error(`--backends: ${name} is none of wasm, webgpu, reference.`)
}

/** Two 32-bit hashes of a row's bits: equal rows have equal ones, and others, but for one in 2^64, have not. */
function hashOf(row: Float32Array): [number, number] {
  const words = new Uint32Array(row.buffer, row.byteOffset, row.length)
  let [a, b] = [0x811c9dc5, 0x9e3779b9]
  for (const word of words) {
    a = Math.imul(a ^ word, 0x01000193)
    b = Math.imul((b << 5) | (b >>> 27), 0x85ebca6b) ^ word
  }
  return [a >>> 0, b >>> 0]
}

interface Reading {
  description: string
  /** [T, 2] */
  hashes: Uint32Array
  /** [T] */
  best: Int32Array
  seconds: number
}

async function read(name: string, tokens: Int32Array, sequenceTokens: number): Promise<Reading> {
  const backend = await makeBackend(name)
  const file = await openGguf(await fileSource(values.model))
  const model = await loadModel(file, backend, nodeEngineEnvironment)
  const hashes = new Uint32Array(2 * tokens.length)
  const best = new Int32Array(tokens.length)
  const V = file.config.vocabularySize
  const startMs = performance.now()
  for (let start = 0; start < tokens.length; start += sequenceTokens) {
    const sequence = Array.from(tokens.subarray(start, start + sequenceTokens))
    await model.evaluate(sequence, {
      onLogits(rows, first) {
        for (let t = 0; t < rows.length / V; t++) {
          const row = rows.subarray(t * V, (t + 1) * V)
          hashes.set(hashOf(row), 2 * (start + first + t))
          best[start + first + t] = argMax(row)
        }
      },
    })
    const seconds = (performance.now() - startMs) / 1000
    const done = start + sequence.length
    process.stderr.write(`\r${name}: ${done} of ${tokens.length} tokens, ${(done / seconds).toFixed(0)} tokens/s  `)
  }
  process.stderr.write('\n')
  const seconds = (performance.now() - startMs) / 1000
  const { description } = backend.info
  await model.dispose()
  await backend.dispose()
  await file.close()
  return { description: `${name}: ${description}`, hashes, best, seconds }
}

async function textTokens(count: number): Promise<Int32Array> {
  const backend = createBackend('reference', undefined)
  const file = await openGguf(await fileSource(values.model))
  const model = await loadModel(file, await backend, nodeEngineEnvironment)
  const tokens: number[] = []
  for (const path of globSync('{README.md,docs/**/*.md,models/*.md,{engine,main,renderer,test}/**/*.ts}', {
    cwd: ROOT,
  }).sort()) {
    const text = readFileSync(`${ROOT}/${path}`, 'utf8')
    tokens.push(...model.tokenizer!.encode(text, { parseSpecial: false, continuation: false }))
    if (tokens.length >= count) break
  }
  await model.dispose()
  await (await backend).dispose()
  await file.close()
  if (tokens.length < count) throw new Error(`The repository's texts have ${tokens.length} tokens only.`)
  return Int32Array.from(tokens.slice(0, count))
}

const sequenceTokens = Number(values.sequence)
const tokens = await textTokens(Number(values.tokens))
const [first, second] = values.backends.split(',')
const a = await read(first!, tokens, sequenceTokens)
const b = await read(second!, tokens, sequenceTokens)

let [differingTokens, differingBest, differingSequences, tokensBeforeDifference] = [0, 0, 0, 0]
for (let start = 0; start < tokens.length; start += sequenceTokens) {
  const end = Math.min(start + sequenceTokens, tokens.length)
  let isEqual = true
  for (let t = start; t < end; t++) {
    const isSame = a.hashes[2 * t] === b.hashes[2 * t] && a.hashes[2 * t + 1] === b.hashes[2 * t + 1]
    if (!isSame) differingTokens++
    if (a.best[t] !== b.best[t]) differingBest++
    if (isEqual && !isSame) differingSequences++
    isEqual &&= isSame
    if (isEqual) tokensBeforeDifference++
  }
}
const { layerCount } = (await openGguf(await fileSource(values.model))).config
const rootsPerToken = ROOTS_PER_BLOCK * layerCount + ROOTS_OF_HEAD
process.stdout.write(
  `${JSON.stringify(
    {
      model: values.model.slice(values.model.lastIndexOf('/') + 1),
      backends: [a.description, b.description],
      tokens: tokens.length,
      sequences: Math.ceil(tokens.length / sequenceTokens),
      differingTokens,
      differingBest,
      /** Each began with one difference, which its state then carried on. */
      differingSequences,
      tokensBeforeDifference,
      rootsPerToken,
      differencesPerRoot: differingSequences / (tokensBeforeDifference * rootsPerToken),
      seconds: [a.seconds, b.seconds],
    },
    null,
    2,
  )}\n`,
)
