/** The state machine of one reply, without engine, clock or store. */
import { describe, expect, it } from 'vitest'
import type { GenerationStats } from '../../contract/words/sampling.ts'
import {
  type ReplyEffect,
  type ReplyEvent,
  type ReplyStart,
  startReply,
  stepReply,
} from '../../main/services/chats/reply.ts'

const START: ReplyStart = { messageId: 'm', startedAtMs: 100, earlier: null, hasText: false, isVersion: false }
const stats = (generatedTokens: number, promptTokens = 0): GenerationStats => ({
  promptTokens,
  generatedTokens,
  ttftMs: 1,
  prefillTokensPerSecond: promptTokens > 0 ? 500 : null,
  decodeTokensPerSecond: generatedTokens > 1 ? 50 : null,
})
const begun = (hasToRead: boolean): ReplyEvent => ({ kind: 'begun', hasToRead })
const word = (text: string, atMs: number): ReplyEvent => ({
  kind: 'progress',
  progress: { kind: 'text', text, tokens: [1] },
  atMs,
})
const ended = (reason: 'end-of-text' | 'max-tokens' | 'cancelled', of: GenerationStats): ReplyEvent => ({
  kind: 'generated',
  end: { reason, stats: of },
  atMs: 999,
})
const failed = (code: 'engine-lost' | 'backend-failed' | 'cancelled', isStopped = false): ReplyEvent => ({
  kind: 'failed',
  error: { code, message: 'It failed.' },
  isStopped,
  atMs: 999,
})

function run(start: Partial<ReplyStart>, ...events: ReplyEvent[]): { effects: ReplyEffect[]; phase: string } {
  let state = startReply({ ...START, ...start })
  const effects: ReplyEffect[] = []
  for (const event of events) {
    const step = stepReply(state, event)
    state = step.state
    effects.push(...step.effects)
  }
  return { effects, phase: state.phase }
}
const kinds = (effects: ReplyEffect[]) =>
  effects.map(effect => (effect.kind === 'keep-state' ? `keep ${effect.of}` : effect.kind)).join(', ')
const lastPatch = (effects: ReplyEffect[]) =>
  effects.findLast((effect): effect is Extract<ReplyEffect, { kind: 'patch' }> => effect.kind === 'patch')?.patch

describe('a reply to its end', () => {
  it('reads, keeps the state of the question, writes, keeps the state of the reply', () => {
    const { effects, phase } = run(
      {},
      begun(true),
      ended('end-of-text', stats(0, 12)),
      word('a', 130),
      word('b', 150),
      ended('end-of-text', stats(2)),
    )
    expect(kinds(effects)).toBe('read, keep question, write, patch, append, append, keep reply, patch')
    expect(phase).toBe('ended')
    expect(lastPatch(effects)).toEqual({
      status: 'complete',
      finishReason: 'end-of-text',
      stats: {
        promptTokens: 12,
        generatedTokens: 2,
        ttftMs: 30,
        prefillTokensPerSecond: 500,
        decodeTokensPerSecond: 50,
      },
    })
  })

  it('writes at once where nothing is to be read', () => {
    expect(kinds(run({}, begun(false)).effects)).toBe('write')
  })

  it('that goes on keeps no state of the question, and counts both parts', () => {
    const earlier: GenerationStats = { ...stats(5, 12), ttftMs: 7 }
    const { effects } = run(
      { hasText: true, earlier },
      begun(true),
      ended('end-of-text', stats(0, 8)),
      word('x', 500),
      ended('max-tokens', stats(3)),
    )
    expect(kinds(effects)).toBe('read, write, patch, append, keep reply, patch')
    expect(lastPatch(effects)).toMatchObject({
      status: 'complete',
      finishReason: 'max-tokens',
      stats: { promptTokens: 20, generatedTokens: 8, ttftMs: 7 },
    })
  })

  it('progress of the writing’s own start is not shown as reading', () => {
    const progress = { kind: 'prefill', tokensDone: 0, tokensTotal: 0, reusedTokens: 9 } as const
    expect(run({}, begun(false), { kind: 'progress', progress, atMs: 1 }).effects).toHaveLength(1)
    expect(kinds(run({}, begun(true), { kind: 'progress', progress, atMs: 1 }).effects)).toBe('read, prefill')
  })
})

describe('a reply that is stopped', () => {
  const cases: [string, Partial<ReplyStart>, ReplyEvent[], string, string | undefined][] = [
    ['while it waits', {}, [failed('cancelled', true)], 'forget-session, patch', 'stopped'],
    ['while it reads', {}, [begun(true), ended('cancelled', stats(0, 3))], 'read, forget-session, patch', 'stopped'],
    [
      'before its first word',
      {},
      [begun(false), ended('cancelled', stats(0))],
      'write, forget-session, patch',
      'stopped',
    ],
    [
      'after a word',
      {},
      [begun(false), word('a', 110), ended('cancelled', stats(1))],
      'write, patch, append, keep reply, patch',
      'stopped',
    ],
    [
      'as a version, while it waits',
      { isVersion: true },
      [failed('cancelled', true)],
      'forget-session, give-up',
      undefined,
    ],
    [
      'as a version, while it reads',
      { isVersion: true },
      [begun(true), ended('cancelled', stats(0, 3))],
      'read, forget-session, give-up',
      undefined,
    ],
    [
      'as a version, before its first word',
      { isVersion: true },
      [begun(false), ended('cancelled', stats(0))],
      'write, forget-session, give-up',
      undefined,
    ],
    [
      'as a version with a word',
      { isVersion: true },
      [begun(false), word('a', 110), ended('cancelled', stats(1))],
      'write, patch, append, keep reply, patch',
      'stopped',
    ],
    [
      'while an engine is lost',
      {},
      [begun(false), word('a', 110), failed('engine-lost', true)],
      'write, patch, append, forget-session, patch',
      'stopped',
    ],
    // What stood before is never given up.
    [
      'going on, before its first new word',
      { hasText: true, isVersion: true },
      [begun(false), ended('cancelled', stats(0))],
      'write, keep reply, patch',
      'stopped',
    ],
  ]
  it.each(cases)('%s', (_, start, events, expected, status) => {
    const { effects, phase } = run(start, ...events)
    expect(kinds(effects)).toBe(expected)
    expect(lastPatch(effects)?.status).toBe(status)
    expect(phase).toBe('ended')
  })
})

describe('a reply that fails', () => {
  it.each([
    ['engine-lost', 'interrupted'],
    ['backend-failed', 'failed'],
  ] as const)('with %s is %s, keeps its text and says why', (code, status) => {
    const { effects } = run({}, begun(false), word('a', 110), failed(code))
    expect(kinds(effects)).toBe('write, patch, append, forget-session, patch')
    expect(lastPatch(effects)).toMatchObject({ status, error: { code }, stats: { generatedTokens: 1, ttftMs: 10 } })
  })

  it('before its first word has no figures, and is not given up: it must be seen to have failed', () => {
    const { effects } = run({ isVersion: true }, failed('backend-failed'))
    expect(kinds(effects)).toBe('forget-session, patch')
    expect(lastPatch(effects)).not.toHaveProperty('stats')
  })
})

it('a move is told in the message, and changes nothing else', () => {
  const backend = { name: 'wasm', description: '', kernel: '', threads: 1 } as const
  const progress = { kind: 'moved', backend, reason: 'The device was lost.' } as const
  const { effects, phase } = run({}, begun(false), { kind: 'progress', progress, atMs: 1 })
  expect(effects.at(-1)).toEqual({ kind: 'patch', patch: { notice: 'The device was lost.' } })
  expect(phase).toBe('writing')
})
