/**
 * Hostile state files. Cut and changed ones without a right checksum are in test/unit/state-file.test.ts; here the
 * checksum is right, because a stranger can compute it too.
 */
import { createHash } from 'node:crypto'
import { expect, it } from 'vitest'
import type { EngineErrorCode } from '../../engine/errors.ts'
import type { ModelConfig } from '../../engine/model/config.ts'
import { readStateFile, writeStateFile } from '../../engine/state/state-file.ts'
import { nodeEngineEnvironment } from '../../main/engine-process/engine-environment.ts'
import { allocatedBytes, expectRefusal, MIB } from './expect-refusal.ts'

const config: ModelConfig = {
  vocabularySize: 12,
  hiddenSize: 8,
  stateWidth: 8,
  layerCount: 2,
  intermediateSize: 20,
  rmsNormEpsilon: 1e-6,
  useLowerBound: true,
  trainingContextLength: 64,
  bosTokenId: 1,
  eosTokenIds: [2],
}
const identity = { modelSha256: 'a'.repeat(64), tokenizerSha256: null }
const { createSha256 } = nodeEngineEnvironment

const valid = writeStateFile(
  {
    recurrent: { layerCount: 2, stateWidth: 8, values: new Float32Array(16).fill(0.5), numericMode: 'float32' },
    tokenCount: 3,
    pendingTokens: [],
    logits: new Float32Array(12),
    text: 'abc',
    unfinishedTokens: [],
    penaltyHistory: [],
    generator: null,
  },
  'model',
  identity,
  config,
  createSha256,
)
const headerLength = new DataView(valid.buffer).getUint32(12, true)
const headerText = new TextDecoder().decode(valid.subarray(16, 16 + headerLength))
const header: Record<string, unknown> = JSON.parse(headerText)
const numbers = valid.subarray(16 + headerLength, valid.length - 32)

/** A file of these parts with a right checksum. */
function sealed(text: string, payload: Uint8Array = numbers, announced = new TextEncoder().encode(text).length) {
  const body = Buffer.concat([valid.subarray(0, 12), Buffer.alloc(4), Buffer.from(text), payload])
  body.writeUInt32LE(announced, 12)
  return new Uint8Array(Buffer.concat([body, createHash('sha256').update(body).digest()]))
}
const changed = (change: object) => sealed(JSON.stringify({ ...header, ...change }))
const read = async (file: Uint8Array) => readStateFile(file, identity, config, createSha256)

it('the parts of a valid file, put together again, are valid', async () => {
  expect((await read(sealed(headerText))).text).toBe('abc')
})

it.each<[string, Uint8Array, EngineErrorCode]>([
  ['a header of 4 GB', sealed(headerText, numbers, 0xffffffff), 'state-corrupt'],
  ['a header that ends in the numbers', sealed(headerText, numbers, headerLength + 8), 'state-corrupt'],
  ['a header that is a list', sealed('[]'), 'state-corrupt'],
  ['a header nested without end', sealed('['.repeat(100_000)), 'state-corrupt'],
  ['an unknown field', changed({ more: 1 }), 'state-corrupt'],
  ['a billion layers', changed({ layerCount: 1e9 }), 'state-mismatch'],
  ['a width of 2^53', changed({ stateWidth: 2 ** 53 }), 'state-corrupt'],
  ['another vocabulary', changed({ vocabularySize: 13 }), 'state-mismatch'],
  ['another number format', changed({ dtype: 'float16' }), 'state-corrupt'],
  ['another numeric mode', changed({ numericMode: 'fast' }), 'state-corrupt'],
  ['logits that are not there', sealed(headerText, numbers.subarray(0, 64)), 'state-corrupt'],
  ['numbers too many', sealed(headerText, new Uint8Array(numbers.length + 4)), 'state-corrupt'],
  ['an unknown token', changed({ hasLogits: false, pendingTokens: [12] }), 'state-corrupt'],
  ['a negative token', changed({ penaltyHistory: [-1] }), 'state-corrupt'],
  ['a count that is no number', changed({ tokenCount: '3' }), 'state-corrupt'],
  ['a generator of three words', changed({ generator: { seed: 1, words: [1, 2, 3] } }), 'state-corrupt'],
  ['a model hash that is none', changed({ modelSha256: '../../etc/passwd' }), 'state-corrupt'],
])('%s', async (_, file, code) => {
  const allocated = await allocatedBytes(() => expectRefusal(() => read(file), code))
  expect(allocated).toBeLessThan(16 * MIB)
})
