/** Chats: their messages, replies in flight, and what the user does with them. */
import * as v from 'valibot'
import { errorDataSchema } from '../errors.ts'
import { chatRoleSchema } from '../words/message.ts'
import { count, nothing } from '../words/numbers.ts'
import { finishReasonSchema, generationStatsSchema, samplingSchema } from '../words/sampling.ts'

const chatId = v.string()

const messageId = v.string()

export const messageStatusSchema = v.picklist([
  /** Waiting for the engine or reading the prompt. */
  'pending',
  'streaming',
  'complete',
  /** Stopped by the user. */
  'stopped',
  /** The engine was lost in mid-reply; the text so far stands and can be continued. */
  'interrupted',
  'failed',
])
export type MessageStatus = v.InferOutput<typeof messageStatusSchema>

export const chatMessageSchema = v.object({
  id: messageId,
  role: chatRoleSchema,
  content: v.string(),
  status: messageStatusSchema,
  createdAtMs: v.number(),
  finishReason: v.nullable(finishReasonSchema),
  stats: v.nullable(generationStatsSchema),
  error: v.nullable(errorDataSchema),
  /** What happened while it was written and did not end it, in one sentence. */
  notice: v.optional(v.string()),
})
export type ChatMessage = v.InferOutput<typeof chatMessageSchema>

export const chatSchema = v.object({ id: chatId, title: v.string(), messages: v.array(chatMessageSchema) })
export type Chat = v.InferOutput<typeof chatSchema>

export const chatEventSchema = v.variant('kind', [
  /** First event of every subscription, and after changes that are not appends. */
  v.object({ kind: v.literal('chat'), chat: chatSchema }),
  /** A message was added or changed as a whole (status, stats). */
  v.object({ kind: v.literal('message'), message: chatMessageSchema }),
  /** Text to append; batched to about one a frame. `tokensPerSecond` is of the last second or so. */
  v.object({
    kind: v.literal('append'),
    messageId,
    text: v.string(),
    generatedTokens: count,
    tokensPerSecond: v.nullable(v.number()),
  }),
  v.object({ kind: v.literal('prefill'), messageId, tokensDone: count, tokensTotal: count, reusedTokens: count }),
])
export type ChatEvent = v.InferOutput<typeof chatEventSchema>

export const chatSummarySchema = v.object({
  id: chatId,
  title: v.string(),
  updatedAtMs: v.number(),
  messageCount: count,
})
export type ChatSummary = v.InferOutput<typeof chatSummarySchema>

export const chatsPart = {
  calls: {
    'chat.list': { params: nothing, result: v.array(chatSummarySchema) },
    'chat.create': { params: nothing, result: chatSchema },
    'chat.delete': { params: v.object({ chatId }), result: nothing },
    /** Adds the user's message and starts the reply; returns at once. Throws chat-busy. */
    'chat.send': {
      params: v.object({
        chatId,
        text: v.pipe(v.string(), v.minLength(1), v.maxLength(1_000_000)),
        sampling: v.optional(samplingSchema),
      }),
      result: nothing,
    },
    /** Stops the reply in flight; no effect when there is none. */
    'chat.stop': { params: v.object({ chatId }), result: nothing },
    /** Replaces the last reply, from the state before it. */
    'chat.regenerate': { params: v.object({ chatId, sampling: v.optional(samplingSchema) }), result: nothing },
    /** Goes on with the last reply where it was stopped, interrupted or cut by max tokens. */
    'chat.continue': { params: v.object({ chatId, sampling: v.optional(samplingSchema) }), result: nothing },
  },
  streams: {
    'chat.watch': { params: v.object({ chatId }), event: chatEventSchema },
  },
} as const
