/**
 * Tern's own form of a chat, as it is in archives and in JSON: everything of it but its states, which can be made anew. The
 * format is published in docs/chat-files.md; what a later version adds is left alone here.
 */
import * as v from 'valibot'
import { errorDataSchema } from '../../../contract/errors.ts'
import { replyEnergySchema } from '../../../contract/words/energy.ts'
import { chatRoleSchema } from '../../../contract/words/message.ts'
import { finishReasonSchema, generationStatsSchema } from '../../../contract/words/sampling.ts'
import type { StoredChat } from './ports.ts'

export const TERN_FORMAT = 'tern-chat'
const VERSION = 1

const nullable = <const S extends v.GenericSchema>(schema: S) =>
  v.optional(v.nullable(v.fallback(v.nullable(schema), null)), null)

const messageSchema = v.object({
  id: v.pipe(v.string(), v.minLength(1), v.maxLength(200)),
  parentId: v.nullable(v.string()),
  role: chatRoleSchema,
  content: v.string(),
  status: v.fallback(v.picklist(['complete', 'stopped', 'interrupted', 'failed']), 'interrupted'),
  createdAtMs: v.number(),
  finishReason: nullable(finishReasonSchema),
  stats: nullable(generationStatsSchema),
  energy: nullable(replyEnergySchema),
  error: nullable(errorDataSchema),
  notice: nullable(v.string()),
})

export const ternChatSchema = v.pipe(
  v.object({
    format: v.literal(TERN_FORMAT),
    version: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(VERSION)),
    id: v.pipe(v.string(), v.regex(/^[\w-]{1,200}$/)),
    title: v.string(),
    createdAtMs: v.number(),
    updatedAtMs: v.number(),
    activeLeafId: v.nullable(v.string()),
    isPinned: v.optional(v.boolean(), false),
    isArchived: v.optional(v.boolean(), false),
    folder: v.optional(v.nullable(v.string()), null),
    tags: v.optional(v.array(v.string()), []),
    messages: v.array(messageSchema),
  }),
  v.transform(({ format: _, version: __, messages, ...chat }): StoredChat => {
    return { chat: { ...chat, deletedAtMs: null, isTemporary: false }, messages }
  }),
)

/** A reply that is being written is one that was cut off, for whoever reads it. */
export function ternChat({ chat, messages }: StoredChat): v.InferInput<typeof ternChatSchema> {
  const { deletedAtMs: _, isTemporary: __, tags, ...rest } = chat
  return {
    format: TERN_FORMAT,
    version: VERSION,
    ...rest,
    tags: [...tags],
    messages: messages.map(({ status, ...message }) => ({
      ...message,
      status: status === 'pending' || status === 'streaming' ? 'interrupted' : status,
    })),
  }
}
