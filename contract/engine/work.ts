/** Work on model files that needs no session. */
import * as v from 'valibot'
import { backendInfoSchema, backendRequestSchema } from '../words/backend.ts'
import { count, fraction, tokenIds } from '../words/numbers.ts'

export const workPart = {
  calls: {},
  streams: {
    /** A Hugging Face folder to one GGUF file. */
    convert: {
      params: v.object({
        input: v.string(),
        output: v.string(),
        /** false: fails where a file of this name is there, at the beginning or at the end. */
        replace: v.optional(v.boolean(), false),
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
        saveLogits: v.optional(v.object({ path: v.string(), replace: v.optional(v.boolean(), false) })),
      }),
      event: v.variant('kind', [
        v.object({ kind: v.literal('progress'), tokensDone: count, tokensTotal: count }),
        v.object({
          kind: v.literal('done'),
          tokens: count,
          /** Mean over the predicted tokens (T - 1), in nats. */
          lossNats: v.nullable(v.number()),
          perplexity: v.nullable(v.number()),
          /** Of a whole text in UTF-8; null for ids, and where the text's first token is not foretold. */
          bitsPerByte: v.nullable(v.number()),
        }),
      ]),
    },
    /**
     * How likely each continuation is after its context, both as text; an event for each item, in order. Texts become tokens as
     * in lm-evaluation-harness.
     */
    score: {
      params: v.object({
        items: v.array(v.object({ context: v.string(), continuations: v.array(v.string()) })),
        /** true: contexts begin with the model's first token, where it has one. */
        beginWithFirstToken: v.optional(v.boolean(), false),
      }),
      event: v.object({
        kind: v.literal('scored'),
        /** Of `items`. */
        index: count,
        contextTokens: count,
        scores: v.array(v.object({ tokens: count, logProbability: v.number() })),
      }),
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
          /** Why nothing was tried, in a few words; null: it was. */
          skipped: v.nullable(v.string()),
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
