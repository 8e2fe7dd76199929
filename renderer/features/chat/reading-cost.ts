/** What a message costs before it is sent, and how long its reading goes on: estimates from what was measured here. */
import type { ChatMessage } from '../../../contract/app/chats.ts'

/** Of English prose with vocabularies of 8 to 64 thousand tokens; used until replies have shown the model's own. */
const USUAL_CHARACTERS_PER_TOKEN = 3.5
/** Fewer tokens say too little about a model's own. */
const LEAST_TOKENS = 50

export interface ReadingCost {
  /** Estimated. */
  tokens: number
  /** null: no reading of a prompt was measured in this chat yet. */
  milliseconds: number | null
}

/** `messages`: of the open chat; their figures are the measure. */
export function readingCostOf(text: string, messages: readonly ChatMessage[]): ReadingCost {
  let characters = 0
  let counted = 0
  let tokensPerSecond: number | null = null
  for (const { role, content, stats } of messages) {
    if (role !== 'assistant' || stats === null) continue
    characters += content.length
    counted += stats.generatedTokens
    tokensPerSecond = stats.prefillTokensPerSecond ?? tokensPerSecond
  }
  const perToken = counted >= LEAST_TOKENS && characters > 0 ? characters / counted : USUAL_CHARACTERS_PER_TOKEN
  const tokens = Math.ceil(text.length / perToken)
  return { tokens, milliseconds: tokensPerSecond === null ? null : (tokens / tokensPerSecond) * 1000 }
}

/** Where a reading stood at a time in milliseconds. */
export interface ReadingMark {
  atMs: number
  tokensDone: number
}

/** null: it cannot be told yet. */
export function timeLeftMs(first: ReadingMark, now: ReadingMark, tokensTotal: number): number | null {
  const done = now.tokensDone - first.tokensDone
  const took = now.atMs - first.atMs
  // The first steps of a reading are no measure.
  if (done <= 0 || took < 1_000) return null
  return ((tokensTotal - now.tokensDone) * took) / done
}
