/** State files: what goes in comes out; what is damaged, cut off, hostile or of another model is refused. */
import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { loadModel } from '../../engine/engine.ts'
import { EngineError } from '../../engine/errors.ts'
import { createRandom, wholeBelow } from '../../engine/seeded-random.ts'
import { hashModel } from '../../engine/state/identity.ts'
import {
  markedPart,
  readStateFile,
  type SessionSnapshot,
  type StoredSnapshot,
  writeStateFile,
} from '../../engine/state/state-file.ts'
import { nodeEngineEnvironment } from '../../main/engine-process/engine-environment.ts'
import { randomModel, SMALL_CONFIG } from '../conformance/random-model.ts'
import { createScriptedBackend, scriptedModelFile } from '../conformance/scripted-backend.ts'
import { TINY_TOKENIZER_JSON } from '../conformance/tiny-tokenizer.ts'

const { createSha256 } = nodeEngineEnvironment
const config = SMALL_CONFIG
const identity = { modelSha256: 'ab'.repeat(32), tokenizerSha256: 'cd'.repeat(32) }
const random = createRandom(0x57a7e)
const floats = (length: number): Float32Array => Float32Array.from({ length }, () => random() - 0.5)

const snapshot: SessionSnapshot = {
  recurrent: {
    layerCount: config.layerCount,
    stateWidth: config.stateWidth,
    values: floats(config.layerCount * config.stateWidth),
    numericMode: 'float32',
  },
  tokenCount: 12,
  pendingTokens: [],
  logits: floats(config.vocabularySize),
  text: 'Grüße 🦅\n"quoted"',
  unfinishedTokens: [3, 4],
  penaltyHistory: [5, 6, 6],
  generator: { seed: 2 ** 40, words: [1, 2, 3, 2 ** 32 - 1] },
}

const write = (changes: Partial<SessionSnapshot> = {}): Uint8Array =>
  writeStateFile({ ...snapshot, ...changes }, 'random', identity, config, createSha256)

const read = (bytes: Uint8Array): StoredSnapshot => readStateFile(bytes, identity, config, createSha256)

function codeOf(callback: () => unknown): string {
  try {
    callback()
  } catch (error) {
    return error instanceof EngineError ? error.code : String(error)
  }
  return 'no error'
}

/** With a right checksum, so that what lies behind it is reached. */
function reseal(bytes: Uint8Array): Uint8Array {
  const body = bytes.subarray(0, -32)
  return Buffer.concat([body, createHash('sha256').update(body).digest()])
}

function withHeader(change: (header: Record<string, unknown>) => void): Uint8Array {
  const file = Buffer.from(write())
  const length = file.readUInt32LE(12)
  const header = JSON.parse(file.subarray(16, 16 + length).toString())
  change(header)
  const text = Buffer.from(JSON.stringify(header))
  const head = Buffer.from(file.subarray(0, 16))
  head.writeUInt32LE(text.length, 12)
  return reseal(Buffer.concat([head, text, file.subarray(16 + length)]))
}

describe('state files', () => {
  it('give back what was written, bit for bit', () => {
    expect(read(write())).toEqual({ ...snapshot, textMark: null, conversation: null })
    const pending = { ...snapshot, logits: null, pendingTokens: [7], text: null, generator: null }
    expect(read(write(pending))).toEqual({ ...pending, textMark: null, conversation: null })
    // At any place in a larger buffer.
    const padded = new Uint8Array(write().length + 3)
    padded.set(write(), 3)
    expect(read(padded.subarray(3))).toEqual({ ...snapshot, textMark: null, conversation: null })
  })

  it('without their text hold its hash alone, and know it again when they see it', () => {
    const file = writeStateFile(snapshot, 'random', identity, config, createSha256, 'mark')
    expect(Buffer.from(file).toString('utf8')).not.toContain('quoted')
    const { text, textMark } = read(file)
    expect(text).toBeNull()
    expect(markedPart(`${snapshot.text} and more`, textMark!, createSha256)).toBe(snapshot.text)
    expect(markedPart(snapshot.text!, textMark!, createSha256)).toBe(snapshot.text)
    for (const other of ['', snapshot.text!.slice(0, -1), snapshot.text!.replace('q', 'Q')]) {
      expect(markedPart(other, textMark!, createSha256)).toBeNull()
    }
    // A text and a mark, or a version that does not fit, is no file of ours.
    const asFirst = Buffer.from(file)
    asFirst.writeUInt32LE(1, 8)
    expect(codeOf(() => read(reseal(asFirst)))).toBe('state-corrupt')
    const asSecond = Buffer.from(write())
    asSecond.writeUInt32LE(2, 8)
    expect(codeOf(() => read(reseal(asSecond)))).toBe('state-corrupt')
  })

  it('do not grow with the number of tokens read', () => {
    expect(write({ tokenCount: 1_000_000 }).length - write({ tokenCount: 1 }).length).toBe(6)
  })

  it('are refused when cut off anywhere or changed in any byte', () => {
    const file = write()
    for (let length = 0; length < file.length; length += 13) {
      expect(
        codeOf(() => read(file.subarray(0, length))),
        `${length} bytes`,
      ).toBe('state-corrupt')
    }
    expect(codeOf(() => read(Buffer.concat([file, Buffer.of(0)])))).toBe('state-corrupt')
    for (let i = 0; i < 300; i++) {
      const damaged = file.slice()
      const at = wholeBelow(random, file.length)
      damaged[at] ^= 1 << wholeBelow(random, 8)
      expect(
        codeOf(() => read(damaged)),
        `byte ${at}`,
      ).toMatch(/^state-(corrupt|mismatch)$/)
    }
  })

  it('are refused when they belong elsewhere', () => {
    expect(
      codeOf(() => readStateFile(write(), { ...identity, modelSha256: '00'.repeat(32) }, config, createSha256)),
    ).toBe('state-mismatch')
    expect(codeOf(() => readStateFile(write(), { ...identity, tokenizerSha256: null }, config, createSha256))).toBe(
      'state-mismatch',
    )
    for (const key of ['layerCount', 'stateWidth', 'vocabularySize'] as const) {
      const other = { ...config, [key]: config[key] + 1 }
      expect(
        codeOf(() => readStateFile(write(), identity, other, createSha256)),
        key,
      ).toBe('state-mismatch')
    }
    const version = Buffer.from(write())
    version.writeUInt32LE(3, 8)
    expect(codeOf(() => read(reseal(version)))).toBe('state-mismatch')
  })

  it('are refused when their parts lie, even under a right checksum', () => {
    const bad: [string, (header: Record<string, unknown>) => void][] = [
      ['an absurd shape', header => Object.assign(header, { layerCount: 2 ** 40 })],
      ['another dtype', header => Object.assign(header, { dtype: 'float16' })],
      ['another numeric mode', header => Object.assign(header, { numericMode: 'int8' })],
      ['logits that are not there', header => Object.assign(header, { hasLogits: false, pendingTokens: [1] })],
      ['logits and pending tokens', header => Object.assign(header, { pendingTokens: [1] })],
      ['a token outside the vocabulary', header => Object.assign(header, { unfinishedTokens: [97] })],
      ['a token that is no number', header => Object.assign(header, { penaltyHistory: ['1'] })],
      ['a negative count', header => Object.assign(header, { tokenCount: -1 })],
      ['a short generator', header => Object.assign(header, { generator: { seed: 1, words: [1] } })],
      ['an unknown field', header => Object.assign(header, { surprise: true })],
    ]
    for (const [what, change] of bad) {
      expect(
        codeOf(() => read(withHeader(change))),
        what,
      ).toMatch(/^state-(corrupt|mismatch)$/)
    }
    const long = Buffer.from(write())
    long.writeUInt32LE(0xffff_ffff, 12)
    expect(codeOf(() => read(reseal(long)))).toBe('state-corrupt')
    const notJson = Buffer.from(write())
    notJson[16] = 0x5b
    expect(codeOf(() => read(reseal(notJson)))).toBe('state-corrupt')
  })

  it('are refused with numbers that are not finite', () => {
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const values = snapshot.recurrent.values.slice()
      values[5] = value
      expect(codeOf(() => read(write({ recurrent: { ...snapshot.recurrent, values } })))).toBe('state-corrupt')
      const logits = snapshot.logits!.slice()
      logits[7] = value
      expect(codeOf(() => read(write({ logits })))).toBe('state-corrupt')
    }
  })
})

describe("a model's identity", () => {
  it('is that of its numbers, not of its name', async () => {
    const one = await hashModel(randomModel({ seed: 1 }), createSha256)
    expect(await hashModel({ ...randomModel({ seed: 1 }), name: 'other' }, createSha256)).toBe(one)
    expect(await hashModel(randomModel({ seed: 2 }), createSha256)).not.toBe(one)
  })

  it('is asked for with the first state only, once', async () => {
    const file = scriptedModelFile()
    let reads = 0
    const counted = {
      ...file,
      readTensor: (...args: Parameters<typeof file.readTensor>) => {
        reads++
        return file.readTensor(...args)
      },
    }
    const model = await loadModel(counted, createScriptedBackend(), nodeEngineEnvironment)
    // What the numeric domain is checked with, and no more.
    const afterLoad = reads
    expect(afterLoad).toBeLessThan(file.tensors().length)
    const session = model.createSession()
    const state = await session.serialize()
    const afterFirst = reads
    expect(afterFirst - afterLoad).toBeGreaterThanOrEqual(file.tensors().length)
    await model.importSession(state)
    await session.serialize()
    expect(reads).toBe(afterFirst)
  })

  it('keeps states of other models and tokenizers out', async () => {
    const load = (changes: Parameters<typeof scriptedModelFile>[0]) =>
      loadModel(scriptedModelFile(changes), createScriptedBackend(), nodeEngineEnvironment)
    const session = (await load({})).createSession()
    await session.generate({ kind: 'text', text: 'ab', parseSpecial: false }, { maxTokens: 1 }, { onEvent: () => {} })
    const state = await session.serialize()
    const codeOfImport = async (changes: Parameters<typeof scriptedModelFile>[0]): Promise<string> => {
      const model = await load(changes)
      return model.importSession(state).then(
        () => 'no error',
        (error: unknown) => (error instanceof EngineError ? error.code : String(error)),
      )
    }
    expect(await codeOfImport({})).toBe('no error')
    expect(await codeOfImport({ seed: 2 })).toBe('state-mismatch')
    expect(await codeOfImport({ tokenizerJson: `${TINY_TOKENIZER_JSON} ` })).toBe('state-mismatch')
  })
})
