/** How the next token is chosen, and how a reply ended. */
import * as v from 'valibot'
import { count, fraction } from './numbers.ts'

/** Of one request. */
export const MAX_STOP_STRINGS = 64

/** All optional: what is left out takes the model's or the engine's default. */
export const samplingSchema = v.object({
  /** 0 is greedy. */
  temperature: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(100))),
  /** 0 is off. */
  topK: v.optional(count),
  /** 1 is off. */
  topP: v.optional(fraction),
  /** 0 is off. */
  minP: v.optional(fraction),
  /** 1 is off. */
  repetitionPenalty: v.optional(v.pipe(v.number(), v.gtValue(0), v.maxValue(100))),
  presencePenalty: v.optional(v.pipe(v.number(), v.minValue(-100), v.maxValue(100))),
  frequencyPenalty: v.optional(v.pipe(v.number(), v.minValue(-100), v.maxValue(100))),
  /** The last tokens that penalties look at; 0 is all. */
  penaltyWindow: v.optional(count),
  seed: v.optional(count),
  stop: v.optional(v.pipe(v.array(v.pipe(v.string(), v.minLength(1))), v.maxLength(MAX_STOP_STRINGS))),
  /** Token id to bias added to its logit. */
  logitBias: v.optional(v.array(v.tuple([count, v.number()]))),
  maxTokens: v.optional(count),
})
export type Sampling = v.InferOutput<typeof samplingSchema>

/**
 * What chats are sampled with, in the window and on the command line, where nothing else is asked for. Chosen by the
 * prompts of models/eval100.json (the card, models/README.md, has the table): as many pass as by greedy decoding, and a
 * second try gives another text. Penalties changed nothing for the better, and they get in the way of counting and lists.
 */
export const DEFAULT_CHAT_SAMPLING: Sampling = { temperature: 0.3, minP: 0.2, maxTokens: 1024 }

export const finishReasonSchema = v.picklist(['end-of-text', 'stop-string', 'max-tokens', 'cancelled'])
export type FinishReason = v.InferOutput<typeof finishReasonSchema>

export const generationStatsSchema = v.object({
  /** Tokens read before the first new one, in this run. */
  promptTokens: count,
  generatedTokens: count,
  /** From the request to the first token, milliseconds. */
  ttftMs: v.number(),
  /** null when nothing was read or too little to tell. */
  prefillTokensPerSecond: v.nullable(v.number()),
  decodeTokensPerSecond: v.nullable(v.number()),
})
export type GenerationStats = v.InferOutput<typeof generationStatsSchema>
