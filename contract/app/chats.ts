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
  /** The engine or the host was lost in mid-reply; the text so far stands and can be continued. */
  'interrupted',
  'failed',
])
export type MessageStatus = v.InferOutput<typeof messageStatusSchema>

/** What can be done with a message now; the host decides, and refuses the rest. */
const messageActionSchema = v.picklist(['continue', 'regenerate', 'edit'])

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
  notice: v.nullable(v.string()),
  actions: v.array(messageActionSchema),
  /** Ids of all versions of this message, oldest first, this one among them: `chat.select` shows another. */
  versions: v.pipe(v.array(messageId), v.minLength(1)),
})
export type ChatMessage = v.InferOutput<typeof chatMessageSchema>

/** The reply in flight. A window that comes late gets the figures with the chat. */
const replyInFlightSchema = v.object({
  messageId,
  phase: v.picklist(['waiting', 'reading', 'writing']),
  /** Of the prompt, while it is read. */
  prefill: v.nullable(v.object({ tokensDone: count, tokensTotal: count, reusedTokens: count })),
  generatedTokens: count,
  /** Of the last second or so. */
  tokensPerSecond: v.nullable(v.number()),
})
export type ReplyInFlight = v.InferOutput<typeof replyInFlightSchema>

export const chatSchema = v.object({
  id: chatId,
  title: v.string(),
  /** From the first to the last of the branch that is shown. */
  messages: v.array(chatMessageSchema),
  reply: v.nullable(replyInFlightSchema),
  isDeleted: v.boolean(),
})
export type Chat = v.InferOutput<typeof chatSchema>

export const chatEventSchema = v.variant('kind', [
  /** First event of every subscription, and after changes of the branch, the title, or deletion and restoring. */
  v.object({ kind: v.literal('chat'), chat: chatSchema }),
  /** A message of the branch changed as a whole (status, stats, actions). */
  v.object({ kind: v.literal('message'), message: chatMessageSchema }),
  /** Text to append; batched to about one a frame. */
  v.object({ kind: v.literal('append'), messageId, text: v.string() }),
  /** How the reply in flight stands; null: there is none any more. */
  v.object({ kind: v.literal('reply'), reply: v.nullable(replyInFlightSchema) }),
])
export type ChatEvent = v.InferOutput<typeof chatEventSchema>

export const chatSummarySchema = v.object({
  id: chatId,
  title: v.string(),
  updatedAtMs: v.number(),
  messageCount: count,
  isReplying: v.boolean(),
  /** Deleted chats can be restored for a while; then 'removed' follows. */
  isDeleted: v.boolean(),
})
export type ChatSummary = v.InferOutput<typeof chatSummarySchema>

export const chatSummariesEventSchema = v.variant('kind', [
  /** First event of every subscription. */
  v.object({ kind: v.literal('all'), summaries: v.array(chatSummarySchema) }),
  v.object({ kind: v.literal('changed'), summary: chatSummarySchema }),
  v.object({ kind: v.literal('removed'), chatId }),
])
export type ChatSummariesEvent = v.InferOutput<typeof chatSummariesEventSchema>

const text = v.pipe(v.string(), v.minLength(1), v.maxLength(1_000_000))
const sampling = v.optional(samplingSchema)

/** Calls on a chat whose reply is being written throw `chat-busy`, but for stop, delete and restore. */
export const chatsPart = {
  calls: {
    'chat.create': { params: nothing, result: chatSchema },
    /** Hides the chat everywhere and stops its reply; it can be restored for a minute, then it is gone for good. */
    'chat.delete': { params: v.object({ chatId }), result: nothing },
    'chat.restore': { params: v.object({ chatId }), result: nothing },
    /** Adds the user's message and starts the reply; returns when both are stored. A deleted chat is restored by it. */
    'chat.send': { params: v.object({ chatId, text, sampling }), result: nothing },
    /** Stops the reply in flight; no effect when there is none. */
    'chat.stop': { params: v.object({ chatId }), result: nothing },
    /** Writes another version of a reply, from the state before it; the old one stays. */
    'chat.regenerate': { params: v.object({ chatId, messageId, sampling }), result: nothing },
    /** Goes on with a reply where it was stopped, interrupted or cut by max tokens. */
    'chat.continue': { params: v.object({ chatId, messageId, sampling }), result: nothing },
    /** Another version of the user's message, with a reply of its own; the old branch stays. */
    'chat.edit': { params: v.object({ chatId, messageId, text, sampling }), result: nothing },
    /** Shows the branch of this version, as it was last seen. */
    'chat.select': { params: v.object({ chatId, messageId }), result: nothing },
  },
  streams: {
    'chat.summaries': { params: nothing, event: chatSummariesEventSchema },
    /** Ends when the chat is gone for good. */
    'chat.watch': { params: v.object({ chatId }), event: chatEventSchema },
  },
} as const
