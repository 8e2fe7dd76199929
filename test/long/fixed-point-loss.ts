/**
 * What the accelerator's arithmetic costs: loss, choices and states of a long text in its integers beside the float engine,
 * and how large its values become. The measure behind docs/fpga-numerics.md. Not part of `npm test`.
 *
 *   node test/long/fixed-point-loss.ts [--tokens 2400] [--model FILE]
 *
 * The text: the prompts of models/eval100.json, each with a reply that the float engine draws at temperature 1, every one
 * from an empty state. Drawn, not the likeliest: a text that the float engine likes best would speak for it. Progress goes to
 * stderr, one JSON object to stdout.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import * as v from 'valibot'
import type { BlockTrace } from '../../engine/backends/fpga/fixed-point/block.ts'
import { blocks } from '../../engine/backends/fpga/fixed-point/block.ts'
import type { SaturationFlags } from '../../engine/backends/fpga/fixed-point/flags.ts'
import { residualFromFloat, residualToFloat, stateToFloat } from '../../engine/backends/fpga/fixed-point/state.ts'
import { readFixedWeights } from '../../engine/backends/fpga/fixed-point/weights.ts'
import { createWasmHead } from '../../engine/backends/wasm/backend.ts'
import { type GgufModel, openGguf } from '../../engine/formats/gguf.ts'
import { createRandom } from '../../engine/seeded-random.ts'
import { createTokenizer } from '../../engine/tokenizer/tokenizer.ts'
import { nodeEngineEnvironment } from '../../main/engine-process/engine-environment.ts'
import { spawnThread } from '../../main/engine-process/node-threads.ts'
import { fileSource } from '../byte-sources.ts'
import { argMax } from '../conformance/compare.ts'

import { createTestWasmBackend, readKernels } from '../wasm-backend.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const PROMPTS = 'models/eval100.json'
const MAX_REPLY_TOKENS = 64
const promptsSchema = v.object({ prompts: v.array(v.object({ turns: v.pipe(v.array(v.string()), v.minLength(1)) })) })
const { values } = parseArgs({
  options: {
    tokens: { type: 'string', default: '2400' },
    model: { type: 'string', default: `${ROOT}/models/tern-98m-v2.gguf` },
  },
})

/** Of every position: log probabilities [V]; of every conversation: the last states [L, E]. */
interface Reading {
  logProbabilities: Float32Array[]
  states: Float32Array[]
}

/** The prompts as the model reads them, in the embedded model's chat template. */
function readPrompts(model: GgufModel): number[][] {
  const { prompts } = v.parse(promptsSchema, JSON.parse(readFileSync(`${ROOT}/${PROMPTS}`, 'utf8')))
  const tokenizer = createTokenizer(JSON.parse(model.tokenizerJson!), model.config)
  const { bosTokenId } = model.config
  return prompts.map(({ turns: [question] }) => {
    const text = `<|user|>\n${question}<|end|>\n<|assistant|>\n`
    const tokens = tokenizer.encode(text, { parseSpecial: true, continuation: false })
    return bosTokenId === null ? tokens : [bosTokenId, ...tokens]
  })
}

/** Prompts and drawn replies of `count` tokens in all, or a little more, and what the float engine says of them. */
async function drawInFloat(model: GgufModel, count: number) {
  const backend = await createTestWasmBackend({ threads: 2 })
  const runner = await backend.load(model)
  const random = createRandom(1)
  const reading: Reading = { logProbabilities: [], states: [] }
  const conversations: number[][] = []
  for (const prompt of readPrompts(model)) {
    const tokens = [...prompt]
    const state = await runner.createState()
    for (let t = 0; t < tokens.length; t++) {
      const logProbabilities = logSoftmax((await runner.readChunk(state, [tokens[t]], 'last'))!)
      reading.logProbabilities.push(logProbabilities)
      if (t + 1 < tokens.length || t + 1 >= prompt.length + MAX_REPLY_TOKENS) continue
      const next = draw(logProbabilities, random)
      if (!model.config.eosTokenIds.includes(next)) tokens.push(next)
    }
    reading.states.push((await runner.exportState(state)).values)
    runner.releaseState(state)
    conversations.push(tokens)
    tell('float', conversations.flat().length, count)
    if (conversations.flat().length >= count) break
  }
  await backend.dispose()
  return { float: reading, conversations }
}

function draw(logProbabilities: Float32Array, random: () => number): number {
  let left = random()
  for (const [token, logProbability] of logProbabilities.entries()) {
    left -= Math.exp(logProbability)
    if (left < 0) return token
  }
  return logProbabilities.length - 1
}

type ValueName = Exclude<keyof BlockTrace, 'linears'> | 'x' | 'sum'
const FRACTION: Record<ValueName, number> = {
  i: 12,
  f: 12,
  g: 12,
  h: 16,
  v: 14,
  x1: 16,
  x: 16,
  gateUp: 12,
  z: 14,
  sum: 0,
}

async function readInIntegers(model: GgufModel, conversations: number[][]) {
  const { clock } = nodeEngineEnvironment
  const head = await createWasmHead({ kernels: await readKernels(), clock, spawnThread, threads: 2 }, model)
  const weights = await readFixedWeights(model)
  const flags: SaturationFlags = new Set()
  const largest: Partial<Record<ValueName, number>> = {}
  const see = (name: ValueName, list: ArrayLike<number>, fraction: number): void => {
    let most = largest[name] ?? 0
    for (let k = 0; k < list.length; k++) most = Math.max(most, Math.abs(list[k]) / 2 ** fraction)
    largest[name] = most
  }
  const reading: Reading = { logProbabilities: [], states: [] }
  for (const [n, tokens] of conversations.entries()) {
    const state = new Int32Array(model.config.layerCount * model.config.stateWidth)
    for (const token of tokens) {
      const x = residualFromFloat(await head.embed(token), weights.residualFraction)
      const out = blocks(x, state, weights.blocks, flags, (_, { linears, ...trace }) => {
        for (const [name, list] of Object.entries(trace)) {
          see(name as ValueName, list, name === 'x1' ? weights.residualFraction : FRACTION[name as ValueName])
        }
        for (const { sums } of Object.values(linears)) see('sum', sums, 0)
      })
      see('x', out, weights.residualFraction)
      reading.logProbabilities.push(logSoftmax(await head.logits(residualToFloat(out, weights.residualFraction))))
    }
    reading.states.push(stateToFloat(state))
    tell('integers', conversations.slice(0, n + 1).flat().length, conversations.flat().length)
  }
  await head.dispose()
  return { reading, largest, saturations: [...flags], residualFraction: weights.residualFraction }
}

function logSoftmax(logits: Float32Array): Float32Array {
  let most = Number.NEGATIVE_INFINITY
  for (const logit of logits) most = Math.max(most, logit)
  let sum = 0
  for (const logit of logits) sum += Math.exp(logit - most)
  const shift = most + Math.log(sum)
  return logits.map(logit => logit - shift)
}

/** Mean of KL(float || integers) in nats, and how often both choose the same token. */
function compareChoices(float: Reading, integers: Reading) {
  let kl = 0
  let same = 0
  for (const [t, p] of float.logProbabilities.entries()) {
    const q = integers.logProbabilities[t]
    for (let n = 0; n < p.length; n++) kl += Math.exp(p[n]) * (p[n] - q[n])
    if (argMax(p) === argMax(q)) same++
  }
  const count = float.logProbabilities.length
  return { klNats: kl / count, sameArgMax: same / count }
}

/** Of every token but the first of each conversation. */
function lossesOf({ logProbabilities }: Reading, conversations: number[][]): number[] {
  let first = 0
  return conversations.flatMap(tokens => {
    const losses = tokens.slice(1).map((token, t) => -logProbabilities[first + t][token])
    first += tokens.length
    return losses
  })
}
const mean = (list: number[]): number => list.reduce((sum, value) => sum + value, 0) / list.length
const standardError = (list: number[]): number => {
  const middle = mean(list)
  return Math.sqrt(mean(list.map(value => (value - middle) ** 2)) / list.length)
}

/** |a - b| / |a| */
function relativeError(a: Float32Array, b: Float32Array): number {
  let [difference, size] = [0, 0]
  for (let k = 0; k < a.length; k++) {
    difference += (a[k] - b[k]) ** 2
    size += a[k] ** 2
  }
  return Math.sqrt(difference / size)
}

function tell(what: string, n: number, count: number): void {
  process.stderr.write(`${what}: ${n} of ${count} tokens\n`)
}

const model = await openGguf(await fileSource(values.model))
const { float, conversations } = await drawInFloat(model, Number(values.tokens))
const { reading: integers, ...seen } = await readInIntegers(model, conversations)
const [floatLosses, integerLosses] = [lossesOf(float, conversations), lossesOf(integers, conversations)]
const differences = floatLosses.map((loss, t) => integerLosses[t] - loss)
const stateErrors = float.states.map((state, n) => relativeError(state, integers.states[n]))
const result = {
  model: model.name,
  conversations: conversations.length,
  tokens: conversations.flat().length,
  lossNats: { float: mean(floatLosses), integers: mean(integerLosses) },
  differenceNats: mean(differences),
  differenceStandardError: standardError(differences),
  ...compareChoices(float, integers),
  stateError: { mean: mean(stateErrors), largest: Math.max(...stateErrors) },
  ...seen,
}
process.stdout.write(`${JSON.stringify(result, null, 2)}\n`)
process.exit()
