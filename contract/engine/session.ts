/** Sessions: one sequence with its recurrent state, that reads and writes. */
import * as v from 'valibot'
import { errorDataSchema } from '../errors.ts'
import { backendInfoSchema } from '../words/backend.ts'
import { templateMessageSchema } from '../words/message.ts'
import { bytesValue, count, nothing, tokenIds } from '../words/numbers.ts'
import { finishReasonSchema, generationStatsSchema, samplingSchema } from '../words/sampling.ts'

const sessionId = v.string()

const conversationSchema = v.object({
  messages: v.array(templateMessageSchema),
  /** true: open the assistant's turn. false: the last message is an unfinished assistant reply to go on with. */
  addGenerationPrompt: v.boolean(),
})
export type Conversation = v.InferOutput<typeof conversationSchema>

/** What a session reads next. */
const sessionInputSchema = v.variant('kind', [
  /** Plain text. Special tokens in it are read as such only when `parseSpecial`. `<s>` opens an empty session. */
  v.object({ kind: v.literal('text'), text: v.string(), parseSpecial: v.boolean() }),
  v.object({ kind: v.literal('tokens'), tokens: tokenIds }),
  /**
   * A conversation, rendered by the model's chat template (or as plain text where it has none). The session reads only
   * what it has not read yet; if its state does not fit the conversation's beginning, it starts over by itself.
   */
  v.object({ kind: v.literal('messages'), ...conversationSchema.entries }),
])
export type SessionInput = v.InferOutput<typeof sessionInputSchema>

const generationEventSchema = v.variant('kind', [
  /** Reading the prompt. */
  v.object({ kind: v.literal('prefill'), tokensDone: count, tokensTotal: count, reusedTokens: count }),
  /** New text, always whole UTF-8 characters; `tokens` are the ids since the last such event. */
  v.object({ kind: v.literal('text'), text: v.string(), tokens: tokenIds }),
  /** The session computes elsewhere from here on: `reason` says why, in one sentence. The reply goes on. */
  v.object({ kind: v.literal('moved'), backend: backendInfoSchema, reason: v.string() }),
  v.object({ kind: v.literal('finish'), reason: finishReasonSchema, stats: generationStatsSchema }),
])
export type GenerationEvent = v.InferOutput<typeof generationEventSchema>

export const sessionPart = {
  calls: {
    'session.create': { params: nothing, result: sessionId },
    'session.clone': { params: v.object({ sessionId }), result: sessionId },
    'session.dispose': { params: v.object({ sessionId }), result: nothing },
    /**
     * Ends the `generate` in flight on this session within one token; it finishes with reason 'cancelled'. No effect when
     * there is none. Cancelling the stream instead ends it at once, without a last event.
     */
    'session.stop': { params: v.object({ sessionId }), result: nothing },
    /**
     * A state file (docs/state-format.md): opaque to the host, checked on import. `stored`: what it holds for its
     * text; with its mark alone, whoever imports it brings the conversation along.
     */
    'session.export': {
      params: v.object({
        sessionId,
        stored: v.optional(v.union([v.picklist(['text', 'mark']), conversationSchema]), 'text'),
      }),
      result: bytesValue,
    },
    /** What a file is before it is opened. `misfit`: why the loaded model cannot go on from it. Throws state-corrupt. */
    'state.describe': {
      params: v.object({ state: bytesValue }),
      result: v.object({
        modelName: v.string(),
        tokenCount: count,
        conversation: v.nullable(conversationSchema),
        misfit: v.nullable(errorDataSchema),
      }),
    },
    /** `conversation`: what the state has read, where its file does not say. Throws state-mismatch, state-corrupt. */
    'session.import': {
      params: v.object({ state: bytesValue, conversation: v.optional(conversationSchema) }),
      result: sessionId,
    },
    /** Encodes without a session. */
    'tokenizer.encode': {
      params: v.object({ text: v.string(), parseSpecial: v.boolean() }),
      result: tokenIds,
    },
  },
  streams: {
    /**
     * Reads the input, then decodes until an end. Cancel acts within one token; the state then is that after the last emitted token.
     * `maxTokens: 0` reads only: the host snapshots that point, to regenerate from it. An empty `tokens` input then decodes
     * from where the session stands, with nothing to read; exported and imported sessions can do so too.
     */
    generate: {
      params: v.object({ sessionId, input: sessionInputSchema, sampling: samplingSchema }),
      event: generationEventSchema,
    },
  },
} as const
