/**
 * One reply as a state machine: what has happened so far, and what follows from the next thing that happens. It reads no
 * clock and does nothing itself; chats.ts carries the effects out, in order.
 */
import type { ReplyInFlight } from '../../../contract/app/chats.ts'
import type { TernErrorData } from '../../../contract/errors.ts'
import type { GenerationStats } from '../../../contract/words/sampling.ts'
import type { GenerationEnd, GenerationProgress } from '../../generation/generate.ts'
import type { MessagePatch } from './message-tree.ts'

export interface ReplyState {
  readonly messageId: string
  readonly phase: ReplyInFlight['phase'] | 'ended'
  readonly startedAtMs: number
  readonly firstTextAtMs: number | null
  /** Of an earlier part of the same reply, which this one goes on with. */
  readonly earlier: GenerationStats | null
  /** Of the reading, once it is over. */
  readonly read: GenerationStats | null
  readonly writtenTokens: number
  /** Something stands already, from before or written now. */
  readonly hasText: boolean
  /** Another version was there before: without a word of its own this one is given up for it. */
  readonly isVersion: boolean
}

export type ReplyEvent =
  /** A session was found. `hasToRead`: it has not read the whole conversation yet. */
  | { kind: 'begun'; hasToRead: boolean }
  | { kind: 'progress'; progress: GenerationProgress; atMs: number }
  /** `generate` came to its end: that of the reading, or of the writing. */
  | { kind: 'generated'; end: GenerationEnd; atMs: number }
  /** `isStopped`: the user had asked for it, whatever the error is. */
  | { kind: 'failed'; error: TernErrorData; isStopped: boolean; atMs: number }

export type ReplyEffect =
  | { kind: 'read' }
  | { kind: 'write' }
  /** The session has read the question, or everything: its state is worth keeping. */
  | { kind: 'keep-state'; of: 'question' | 'reply' }
  /** Nobody knows where the session stands. */
  | { kind: 'forget-session' }
  | { kind: 'patch'; patch: MessagePatch }
  | { kind: 'append'; text: string; tokenCount: number }
  | { kind: 'prefill'; prefill: NonNullable<ReplyInFlight['prefill']> }
  /** The version before comes back. */
  | { kind: 'give-up' }

export interface ReplyStart {
  messageId: string
  startedAtMs: number
  earlier: GenerationStats | null
  hasText: boolean
  isVersion: boolean
}

export const startReply = (start: ReplyStart): ReplyState => ({
  ...start,
  phase: 'waiting',
  firstTextAtMs: null,
  read: null,
  writtenTokens: 0,
})

export interface ReplyStep {
  state: ReplyState
  effects: ReplyEffect[]
}

export function stepReply(state: ReplyState, event: ReplyEvent): ReplyStep {
  switch (event.kind) {
    case 'begun':
      return event.hasToRead
        ? { state: { ...state, phase: 'reading' }, effects: [{ kind: 'read' }] }
        : { state: { ...state, phase: 'writing' }, effects: [{ kind: 'write' }] }
    case 'progress':
      return onProgress(state, event.progress, event.atMs)
    case 'generated':
      return state.phase === 'reading' ? onRead(state, event.end, event.atMs) : onWritten(state, event.end, event.atMs)
    case 'failed':
      return onFailed(state, event)
  }
}

function onProgress(state: ReplyState, progress: GenerationProgress, atMs: number): ReplyStep {
  if (progress.kind === 'moved') return { state, effects: [{ kind: 'patch', patch: { notice: progress.reason } }] }
  if (progress.kind === 'prefill') {
    if (state.phase !== 'reading') return { state, effects: [] }
    const { tokensDone, tokensTotal, reusedTokens } = progress
    return { state, effects: [{ kind: 'prefill', prefill: { tokensDone, tokensTotal, reusedTokens } }] }
  }
  const next: ReplyState = {
    ...state,
    firstTextAtMs: state.firstTextAtMs ?? atMs,
    writtenTokens: state.writtenTokens + progress.tokens.length,
    hasText: state.hasText || progress.text !== '',
  }
  const append: ReplyEffect = { kind: 'append', text: progress.text, tokenCount: progress.tokens.length }
  if (state.firstTextAtMs !== null) return { state: next, effects: [append] }
  // The first token's time is known from now on.
  const stats = statsOf({ ...next, writtenTokens: 0 }, null, atMs)
  return { state: next, effects: [{ kind: 'patch', patch: { status: 'streaming', stats } }, append] }
}

function onRead(state: ReplyState, { reason, stats }: GenerationEnd, atMs: number): ReplyStep {
  // The state then stands somewhere inside the prompt.
  if (reason === 'cancelled') return onFailed(state, { error: STOPPED, isStopped: true, atMs })
  const keep: ReplyEffect[] = state.hasText ? [] : [{ kind: 'keep-state', of: 'question' }]
  return { state: { ...state, phase: 'writing', read: stats }, effects: [...keep, { kind: 'write' }] }
}

function onWritten(state: ReplyState, { reason, stats }: GenerationEnd, atMs: number): ReplyStep {
  const ended: ReplyState = { ...state, phase: 'ended', writtenTokens: stats.generatedTokens }
  if (reason === 'cancelled' && !state.hasText) return withoutWord(ended, { status: 'stopped', finishReason: reason })
  const patch: MessagePatch = {
    status: reason === 'cancelled' ? 'stopped' : 'complete',
    finishReason: reason,
    stats: statsOf(ended, stats.decodeTokensPerSecond, atMs),
  }
  return {
    state: ended,
    effects: [
      { kind: 'keep-state', of: 'reply' },
      { kind: 'patch', patch },
    ],
  }
}

function onFailed(
  state: ReplyState,
  { error, isStopped, atMs }: Omit<Extract<ReplyEvent, { kind: 'failed' }>, 'kind'>,
) {
  const ended: ReplyState = { ...state, phase: 'ended' }
  const stats = state.writtenTokens > 0 ? { stats: statsOf(state, null, atMs) } : {}
  const patch: MessagePatch =
    isStopped || error.code === 'cancelled'
      ? { status: 'stopped', finishReason: 'cancelled', ...stats }
      : { status: error.code === 'engine-lost' ? 'interrupted' : 'failed', error, ...stats }
  if (patch.status === 'stopped' && !state.hasText) return withoutWord(ended, patch)
  return { state: ended, effects: [{ kind: 'forget-session' }, { kind: 'patch', patch }] } satisfies ReplyStep
}

/** Stopped before its first word: another version, where there is one, is worth more than an empty one. */
const withoutWord = (state: ReplyState, patch: MessagePatch): ReplyStep => ({
  state,
  effects: [{ kind: 'forget-session' }, state.isVersion ? { kind: 'give-up' } : { kind: 'patch', patch }],
})

const STOPPED: TernErrorData = { code: 'cancelled', message: 'Stopped.' }

/** Of the whole reply: what an earlier part of it took, and this one. */
function statsOf(state: ReplyState, decodeTokensPerSecond: number | null, atMs: number): GenerationStats {
  const { earlier, read, firstTextAtMs, startedAtMs, writtenTokens } = state
  return {
    promptTokens: (earlier?.promptTokens ?? 0) + (read?.promptTokens ?? 0),
    generatedTokens: (earlier?.generatedTokens ?? 0) + writtenTokens,
    ttftMs: earlier?.ttftMs ?? (firstTextAtMs ?? atMs) - startedAtMs,
    prefillTokensPerSecond: read?.prefillTokensPerSecond ?? earlier?.prefillTokensPerSecond ?? null,
    decodeTokensPerSecond,
  }
}
