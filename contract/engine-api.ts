/**
 * Host to engine process. The host sees text, token ids, opaque state bytes and figures, never a tensor.
 * A session is one sequence with its recurrent state; it lives in the engine process and dies with it, so the host
 * keeps state bytes (session.export) for whatever must survive.
 */
import * as v from 'valibot'
import {
  backendInfoSchema,
  backendRequestSchema,
  bytesValue,
  count,
  engineMemorySchema,
  finishReasonSchema,
  fraction,
  generationStatsSchema,
  gpuAdapterSchema,
  loadedModelSchema,
  modelInfoSchema,
  samplingSchema,
  templateMessageSchema,
  tokenIds,
} from './schemas.ts'

const sessionId = v.string()
const nothing = v.undefined()

/** What a session reads next. */
export const sessionInputSchema = v.variant('kind', [
  /** Plain text. Special tokens in it are read as such only when `parseSpecial`. `<s>` opens an empty session. */
  v.object({ kind: v.literal('text'), text: v.string(), parseSpecial: v.boolean() }),
  v.object({ kind: v.literal('tokens'), tokens: tokenIds }),
  /**
   * A conversation, rendered by the model's chat template (or as plain text where it has none). The session reads only
   * what it has not read yet; if its state does not fit the conversation's beginning, it starts over by itself.
   */
  v.object({
    kind: v.literal('messages'),
    messages: v.array(templateMessageSchema),
    /** true: open the assistant's turn. false: the last message is an unfinished assistant reply to go on with. */
    addGenerationPrompt: v.boolean(),
  }),
])
export type SessionInput = v.InferOutput<typeof sessionInputSchema>

export const generationEventSchema = v.variant('kind', [
  /** Reading the prompt. */
  v.object({ kind: v.literal('prefill'), tokensDone: count, tokensTotal: count, reusedTokens: count }),
  /** New text, always whole UTF-8 characters; `tokens` are the ids since the last such event. */
  v.object({ kind: v.literal('text'), text: v.string(), tokens: tokenIds }),
  /** The session computes elsewhere from here on: `reason` says why, in one sentence. The reply goes on. */
  v.object({ kind: v.literal('moved'), backend: backendInfoSchema, reason: v.string() }),
  v.object({ kind: v.literal('finish'), reason: finishReasonSchema, stats: generationStatsSchema }),
])
export type GenerationEvent = v.InferOutput<typeof generationEventSchema>

export const engineApi = {
  calls: {
    'model.info': { params: v.object({ path: v.string() }), result: modelInfoSchema },
    'model.unload': { params: nothing, result: nothing },
    'session.create': { params: nothing, result: sessionId },
    'session.clone': { params: v.object({ sessionId }), result: sessionId },
    'session.dispose': { params: v.object({ sessionId }), result: nothing },
    /**
     * Ends the `generate` in flight on this session within one token; it finishes with reason 'cancelled'. No effect when
     * there is none. Cancelling the stream instead ends it at once, without a last event.
     */
    'session.stop': { params: v.object({ sessionId }), result: nothing },
    /** A state file (docs/state-format.md): opaque to the host, checked on import. */
    'session.export': { params: v.object({ sessionId }), result: bytesValue },
    /** Throws state-mismatch, state-corrupt. */
    'session.import': { params: v.object({ state: bytesValue }), result: sessionId },
    /** Encodes without a session. */
    'tokenizer.encode': {
      params: v.object({ text: v.string(), parseSpecial: v.boolean() }),
      result: tokenIds,
    },
    memory: { params: nothing, result: engineMemorySchema },
    /** Graphics processors, the one that 'auto' means first; software ones are among them. */
    'backend.adapters': { params: nothing, result: v.array(gpuAdapterSchema) },
    /** Takes the loaded model and all sessions to another backend, between two tokens of a reply in progress. */
    'model.move': { params: backendRequestSchema, result: backendInfoSchema },
  },
  streams: {
    /** Loads a GGUF file or a Hugging Face folder; replaces the model before it. */
    'model.load': {
      params: v.object({
        path: v.string(),
        ...backendRequestSchema.entries,
      }),
      event: v.variant('kind', [
        v.object({ kind: v.literal('progress'), stage: v.picklist(['convert', 'load']), fraction }),
        v.object({ kind: v.literal('loaded'), loaded: loadedModelSchema }),
      ]),
    },
    /**
     * Reads the input, then decodes until an end. Cancel acts within one token; the state then is that after the last emitted token.
     * `maxTokens: 0` reads only: the host snapshots that point, to regenerate from it. An empty `tokens` input then decodes
     * from where the session stands, with nothing to read; exported and imported sessions can do so too.
     */
    generate: {
      params: v.object({ sessionId, input: sessionInputSchema, sampling: samplingSchema }),
      event: generationEventSchema,
    },
    /** A Hugging Face folder to one GGUF file. */
    convert: {
      params: v.object({
        input: v.string(),
        output: v.string(),
        packing: v.picklist(['tq1_0', 'tq2_0']),
      }),
      event: v.variant('kind', [
        v.object({ kind: v.literal('progress'), fraction, tensor: v.string() }),
        v.object({ kind: v.literal('done'), outputBytes: count }),
      ]),
    },
    /** Next-token loss of a text or of ids; optionally all logits [T, V] to a safetensors file. */
    evaluate: {
      params: v.object({
        input: v.variant('kind', [
          v.object({ kind: v.literal('text'), text: v.string() }),
          v.object({ kind: v.literal('tokens'), tokens: tokenIds }),
        ]),
        saveLogitsPath: v.optional(v.string()),
      }),
      event: v.variant('kind', [
        v.object({ kind: v.literal('progress'), tokensDone: count, tokensTotal: count }),
        v.object({
          kind: v.literal('done'),
          tokens: count,
          /** Mean over the predicted tokens (T - 1), in nats. */
          lossNats: v.nullable(v.number()),
          perplexity: v.nullable(v.number()),
        }),
      ]),
    },
    /** A backend's single operations and greedy text, held against the reference. Ends with 'done', passed or not. */
    selftest: {
      params: v.object({ path: v.string(), ...backendRequestSchema.entries }),
      event: v.variant('kind', [
        v.object({ kind: v.literal('backend'), backend: backendInfoSchema }),
        v.object({ kind: v.literal('progress'), stage: v.string(), fraction }),
        v.object({
          kind: v.literal('check'),
          name: v.string(),
          cases: count,
          /** Of what went wrong, a sentence each; empty: passed. */
          failures: v.array(v.string()),
        }),
        v.object({ kind: v.literal('done'), passed: v.boolean() }),
      ]),
    },
    /** Decode and prefill speed of a published shape with random weights, or of a file. */
    bench: {
      params: v.object({
        shape: v.string(),
        ...backendRequestSchema.entries,
        decodeTokens: v.optional(count),
        prefillTokens: v.optional(count),
      }),
      event: v.variant('kind', [
        v.object({ kind: v.literal('progress'), stage: v.string(), fraction }),
        v.object({
          kind: v.literal('done'),
          decodeTokensPerSecond: v.number(),
          prefillTokensPerSecond: v.number(),
          bytesReadPerToken: v.number(),
          memoryReadBytesPerSecond: v.number(),
          peakRssBytes: v.number(),
          loadMs: v.number(),
        }),
      ]),
    },
  },
} as const
export type EngineApi = typeof engineApi
