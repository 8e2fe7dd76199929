/** Chats: their messages, replies in flight, and what the user does with them. */
import * as v from 'valibot'
import { errorDataSchema } from '../errors.ts'
import { replyEnergySchema } from '../words/energy.ts'
import { chatRoleSchema } from '../words/message.ts'
import { count, nothing } from '../words/numbers.ts'
import { finishReasonSchema, generationStatsSchema, samplingSchema } from '../words/sampling.ts'

const chatId = v.string()
const messageId = v.string()
/** Nothing of it is ever on the disk: it ends with the host. Fixed when the chat is made. */
const isTemporary = v.boolean()

const messageStatusSchema = v.picklist([
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

/** What can be done with a message now; the host decides, and refuses the rest. */
const messageActionSchema = v.picklist(['continue', 'regenerate', 'edit'])

/** What the memory of a reply began with, where it did not simply go on from what was in memory. */
const replyStartSchema = v.variant('kind', [
  /** A stored state. `savedMs`: what reading these tokens again would have taken, by the last measured reading; an estimate. */
  v.object({
    kind: v.literal('resumed'),
    tokenCount: count,
    durationMs: v.number(),
    savedMs: v.nullable(v.number()),
  }),
  /** Text that had been read before, read again because its state is not there, is of another model, or was damaged. */
  v.object({ kind: v.literal('reread'), reason: v.picklist(['none', 'other-model', 'damaged']) }),
])
export type ReplyStart = v.InferOutput<typeof replyStartSchema>

const chatMessageSchema = v.object({
  id: messageId,
  role: chatRoleSchema,
  content: v.string(),
  status: messageStatusSchema,
  createdAtMs: v.number(),
  finishReason: v.nullable(finishReasonSchema),
  stats: v.nullable(generationStatsSchema),
  /** null: nothing on this machine could be read while it was written. */
  energy: v.nullable(replyEnergySchema),
  error: v.nullable(errorDataSchema),
  /** What happened while it was written and did not end it, in one sentence. */
  notice: v.nullable(v.string()),
  /** Told while the chat is open; not kept. */
  start: v.nullable(replyStartSchema),
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

/** The most replies that are written side by side. */
export const MAX_COMPARED = 4

/** Replies to one question side by side, until one is kept. All of them are versions of each other. */
const comparisonSchema = v.object({
  questionId: messageId,
  replies: v.pipe(
    v.array(
      v.object({
        message: chatMessageSchema,
        temperature: v.nullable(v.number()),
        /** While it is being written. */
        reply: v.nullable(replyInFlightSchema),
      }),
    ),
    v.minLength(1),
    v.maxLength(MAX_COMPARED),
  ),
})
export type Comparison = v.InferOutput<typeof comparisonSchema>

/** A message in the map of its chat: where it stands and how it begins. */
const mapNodeSchema = v.object({
  id: messageId,
  parentId: v.nullable(messageId),
  role: chatRoleSchema,
  /** Its first words, in one line. */
  opening: v.string(),
  createdAtMs: v.number(),
})
export type MapNode = v.InferOutput<typeof mapNodeSchema>

/** What a search found, the latest first. */
const foundSchema = v.object({
  /** Chats whose titles have all its words. */
  chatIds: v.array(chatId),
  messages: v.array(
    v.object({
      chatId,
      messageId,
      role: chatRoleSchema,
      createdAtMs: v.number(),
      /** A line around the first hit. */
      excerpt: v.array(v.object({ text: v.string(), isHit: v.boolean() })),
    }),
  ),
  /** There is more than this. */
  isCut: v.boolean(),
})
export type Found = v.InferOutput<typeof foundSchema>

const chatSchema = v.object({
  id: chatId,
  title: v.string(),
  /** From the first to the last of the branch that is shown; to the question while replies to it are compared. */
  messages: v.array(chatMessageSchema),
  reply: v.nullable(replyInFlightSchema),
  comparison: v.nullable(comparisonSchema),
  /** Messages that were deleted last and can be brought back for a while. */
  deleted: v.nullable(v.object({ messageCount: count })),
  isDeleted: v.boolean(),
  isTemporary,
})
export type Chat = v.InferOutput<typeof chatSchema>

const chatEventSchema = v.variant('kind', [
  /** First event of every subscription, and after changes of the branch, the title, or deletion and restoring. */
  v.object({ kind: v.literal('chat'), chat: chatSchema }),
  /** A message of the branch changed as a whole (status, stats, actions). */
  v.object({ kind: v.literal('message'), message: chatMessageSchema }),
  /** Text to append; batched to about one a frame. */
  v.object({ kind: v.literal('append'), messageId, text: v.string() }),
  /** How a reply in flight stands; null: it has ended. */
  v.object({ kind: v.literal('reply'), messageId, reply: v.nullable(replyInFlightSchema) }),
])
export type ChatEvent = v.InferOutput<typeof chatEventSchema>

const chatSummarySchema = v.object({
  id: chatId,
  title: v.string(),
  updatedAtMs: v.number(),
  messageCount: count,
  isReplying: v.boolean(),
  /** Deleted chats can be restored for a while; then 'removed' follows. */
  isDeleted: v.boolean(),
  isTemporary,
  isPinned: v.boolean(),
  isArchived: v.boolean(),
  folder: v.nullable(v.string()),
  tags: v.array(v.string()),
})
export type ChatSummary = v.InferOutput<typeof chatSummarySchema>

const chatSummariesEventSchema = v.variant('kind', [
  /** First event of every subscription. */
  v.object({ kind: v.literal('all'), summaries: v.array(chatSummarySchema) }),
  v.object({ kind: v.literal('changed'), summary: chatSummarySchema }),
  v.object({ kind: v.literal('removed'), chatId }),
])
export type ChatSummariesEvent = v.InferOutput<typeof chatSummariesEventSchema>

const text = v.pipe(v.string(), v.minLength(1), v.maxLength(1_000_000))
const sampling = v.optional(samplingSchema)
/** Of a folder or a tag. */
const label = v.pipe(v.string(), v.maxLength(100))

/** Calls on a chat whose reply is being written throw `chat-busy`, but for stop, delete and restore. */
export const chatsPart = {
  calls: {
    'chat.create': { params: v.object({ isTemporary }), result: chatSchema },
    /** Hides the chat everywhere and stops its reply; it can be restored for a minute, then it is gone for good. */
    'chat.delete': { params: v.object({ chatId }), result: nothing },
    'chat.restore': { params: v.object({ chatId }), result: nothing },
    /** Adds the user's message and starts the reply; returns when both are stored. A deleted chat is restored by it. */
    'chat.send': { params: v.object({ chatId, text, sampling }), result: nothing },
    /** Stops this reply, or whatever is in flight; no effect when nothing is. */
    'chat.stop': { params: v.object({ chatId, messageId: v.optional(messageId) }), result: nothing },
    /** Writes another version of a reply, from the state before it; the old one stays. */
    'chat.regenerate': { params: v.object({ chatId, messageId, sampling }), result: nothing },
    /** Goes on with a reply where it was stopped, interrupted or cut by max tokens. */
    'chat.continue': { params: v.object({ chatId, messageId, sampling }), result: nothing },
    /** Another version of the user's message, with a reply of its own; the old branch stays. */
    'chat.edit': { params: v.object({ chatId, messageId, text, sampling }), result: nothing },
    /** What the user calls the chat; what shows nothing is refused as `invalid-argument`. */
    'chat.rename': { params: v.object({ chatId, title: v.pipe(v.string(), v.maxLength(1_000)) }), result: nothing },
    /** Where it stands in the list; what is left out stays as it is. An empty name of a folder or tag is none. */
    'chat.arrange': {
      params: v.object({
        chatId,
        isPinned: v.optional(v.boolean()),
        isArchived: v.optional(v.boolean()),
        folder: v.optional(v.nullable(label)),
        tags: v.optional(v.pipe(v.array(label), v.maxLength(20))),
      }),
      result: nothing,
    },
    /** Chats and messages in which all words of `text` stand, in any case and accents, parts of words too. */
    'chat.find': { params: v.object({ text: v.pipe(v.string(), v.maxLength(1_000)) }), result: foundSchema },
    /** A new chat that begins with all up to this message, and with the state of it: nothing is read again. */
    'chat.branch': { params: v.object({ chatId, messageId }), result: chatSchema },
    /**
     * Writes replies to this user's message side by side, from one state and in one batch, a reply for each sampling. Where
     * replies to it are compared already, these come beside them; more than MAX_COMPARED are refused.
     */
    'chat.compare': {
      params: v.object({
        chatId,
        messageId,
        samplings: v.pipe(v.array(samplingSchema), v.minLength(1), v.maxLength(MAX_COMPARED)),
      }),
      result: nothing,
    },
    /** Goes on with this one of them; what is still being written of the others is stopped. null: with none of them. */
    'chat.keep': { params: v.object({ chatId, messageId: v.nullable(messageId) }), result: nothing },
    /**
     * Deletes a message and all that follows it in any branch, at once and from the disk too; `chat.restoreMessages`
     * brings them back for a minute.
     */
    'chat.deleteFrom': { params: v.object({ chatId, messageId }), result: nothing },
    /** Brings back what `chat.deleteFrom` took last; no effect when there is nothing. */
    'chat.restoreMessages': { params: v.object({ chatId }), result: nothing },
    /** Every message of every branch, parents before their children, versions in their order. */
    'chat.map': { params: v.object({ chatId }), result: v.array(mapNodeSchema) },
    /** Shows the branch of this version, as it was last seen. */
    'chat.select': { params: v.object({ chatId, messageId }), result: nothing },
  },
  streams: {
    'chat.summaries': { params: nothing, event: chatSummariesEventSchema },
    /** Ends when the chat is gone for good. */
    'chat.watch': { params: v.object({ chatId }), event: chatEventSchema },
  },
} as const
