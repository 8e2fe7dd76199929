/**
 * What clients of the local API may ask, in OpenAI's words. Fields that Tern does not know are left alone, as clients send
 * many; those that would change the answer and cannot be served are refused by name.
 */
import * as v from 'valibot'

const count = v.pipe(v.number(), v.integer(), v.minValue(0))
const between = (least: number, most: number) => v.pipe(v.number(), v.minValue(least), v.maxValue(most))
const optional = <const S extends v.GenericSchema>(schema: S) => v.optional(v.nullable(schema))

const MAX_CHOICES = 8
const MAX_STOP_STRINGS = 16

const stop = v.union([
  v.pipe(v.string(), v.minLength(1)),
  v.pipe(v.array(v.pipe(v.string(), v.minLength(1))), v.maxLength(MAX_STOP_STRINGS)),
])

const common = {
  model: optional(v.string()),
  temperature: optional(between(0, 2)),
  top_p: optional(between(0, 1)),
  n: optional(v.pipe(count, v.minValue(1), v.maxValue(MAX_CHOICES))),
  max_tokens: optional(count),
  stream: optional(v.boolean()),
  stream_options: optional(v.object({ include_usage: optional(v.boolean()) })),
  stop: optional(stop),
  seed: optional(v.pipe(v.number(), v.integer())),
  presence_penalty: optional(between(-2, 2)),
  frequency_penalty: optional(between(-2, 2)),
  logit_bias: optional(v.record(v.pipe(v.string(), v.regex(/^\d+$/)), between(-100, 100))),
  // Beyond OpenAI's, as other local servers have them.
  top_k: optional(count),
  min_p: optional(between(0, 1)),
  repetition_penalty: optional(v.pipe(v.number(), v.gtValue(0), v.maxValue(100))),
  // Not served: named, so that they can be refused.
  logprobs: optional(v.union([v.boolean(), v.number()])),
  response_format: optional(v.looseObject({ type: v.string() })),
  tools: optional(v.array(v.unknown())),
}

export type CommonRequest = v.InferOutput<v.ObjectSchema<typeof common, undefined>>

/** Text, or parts of which only text can be read. */
const content = v.union([v.string(), v.array(v.looseObject({ type: v.string(), text: v.optional(v.string()) }))])

const messageSchema = v.looseObject({
  role: v.picklist(['system', 'developer', 'user', 'assistant', 'tool']),
  content: v.optional(v.nullable(content)),
})
export type ApiMessage = v.InferOutput<typeof messageSchema>

export const chatRequestSchema = v.object({
  ...common,
  messages: v.pipe(v.array(messageSchema), v.minLength(1), v.maxLength(10_000)),
  max_completion_tokens: optional(count),
})
export type ChatRequest = v.InferOutput<typeof chatRequestSchema>

export const completionRequestSchema = v.object({
  ...common,
  prompt: v.union([v.string(), v.pipe(v.array(v.string()), v.length(1))]),
  echo: optional(v.boolean()),
  suffix: optional(v.string()),
})
export type CompletionRequest = v.InferOutput<typeof completionRequestSchema>

/** The part of OpenAI's Responses that goes as far as text goes. */
export const responseRequestSchema = v.object({
  model: common.model,
  input: v.union([v.string(), v.pipe(v.array(messageSchema), v.minLength(1), v.maxLength(10_000))]),
  instructions: optional(v.string()),
  max_output_tokens: optional(count),
  temperature: common.temperature,
  top_p: common.top_p,
  stream: common.stream,
  tools: common.tools,
})
export type ResponseRequest = v.InferOutput<typeof responseRequestSchema>
