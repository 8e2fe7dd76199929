/** Rows of the database as what they mean. A file may be damaged: each row is parsed by a schema, one by one. */
import * as v from 'valibot'
import { errorDataSchema } from '../../../contract/errors.ts'
import { replyEnergySchema } from '../../../contract/words/energy.ts'
import { excerptOf } from '../../../contract/words/find-text.ts'
import { chatRoleSchema } from '../../../contract/words/message.ts'
import { finishReasonSchema, generationStatsSchema } from '../../../contract/words/sampling.ts'
import type { ChatRecord, FoundMessage, MessageNode } from '../chats/ports.ts'

const json = <const Schema extends v.GenericSchema>(schema: Schema) =>
  v.nullable(v.pipe(v.string(), v.parseJson(), schema))

const chatRowSchema = v.pipe(
  v.object({
    id: v.string(),
    title: v.string(),
    created_at_ms: v.number(),
    updated_at_ms: v.number(),
    deleted_at_ms: v.nullable(v.number()),
    active_leaf_id: v.nullable(v.string()),
    // Absent in files of the first version, as they are recovered.
    is_pinned: v.optional(v.number(), 0),
    is_archived: v.optional(v.number(), 0),
    folder: v.optional(v.nullable(v.string()), null),
    tags_json: v.optional(v.pipe(v.string(), v.parseJson(), v.array(v.string())), '[]'),
  }),
  v.transform(
    (row): ChatRecord => ({
      id: row.id,
      title: row.title,
      createdAtMs: row.created_at_ms,
      updatedAtMs: row.updated_at_ms,
      deletedAtMs: row.deleted_at_ms,
      activeLeafId: row.active_leaf_id,
      isTemporary: false,
      isPinned: row.is_pinned !== 0,
      isArchived: row.is_archived !== 0,
      folder: row.folder,
      tags: row.tags_json,
    }),
  ),
)

const messageRowSchema = v.pipe(
  v.object({
    id: v.string(),
    parent_id: v.nullable(v.string()),
    role: chatRoleSchema,
    content: v.string(),
    status: v.picklist(['pending', 'streaming', 'complete', 'stopped', 'interrupted', 'failed']),
    created_at_ms: v.number(),
    finish_reason: v.nullable(finishReasonSchema),
    stats_json: json(generationStatsSchema),
    energy_json: v.optional(json(replyEnergySchema), null),
    error_json: json(errorDataSchema),
    notice: v.nullable(v.string()),
  }),
  v.transform(
    (row): MessageNode => ({
      id: row.id,
      parentId: row.parent_id,
      role: row.role,
      content: row.content,
      status: row.status,
      createdAtMs: row.created_at_ms,
      finishReason: row.finish_reason,
      stats: row.stats_json,
      energy: row.energy_json,
      error: row.error_json,
      notice: row.notice,
    }),
  ),
)

const foundRowSchema = v.object({
  id: v.string(),
  chat_id: v.string(),
  role: chatRoleSchema,
  content: v.string(),
  created_at_ms: v.number(),
})

/** null: the row makes no sense. */
export function foundOfRow(row: unknown, words: readonly string[]): FoundMessage | null {
  const parsed = v.safeParse(foundRowSchema, row)
  if (!parsed.success) return null
  const { id, chat_id, role, content, created_at_ms } = parsed.output
  const excerpt = excerptOf(content, words)
  return { chatId: chat_id, messageId: id, role, createdAtMs: created_at_ms, excerpt }
}

/** null: the row makes no sense. */
export function chatOfRow(row: unknown): ChatRecord | null {
  const parsed = v.safeParse(chatRowSchema, row)
  return parsed.success ? parsed.output : null
}

const identitySchema = v.object({ id: v.string(), parent_id: v.nullable(v.string()), content: v.string() })

/** A row that makes no sense becomes a message that says so and keeps what can be kept; null: it has not even an id. */
function messageOfRow(row: unknown): MessageNode | null {
  const parsed = v.safeParse(messageRowSchema, row)
  if (parsed.success) return parsed.output
  const identity = v.safeParse(identitySchema, row)
  const id = identity.success ? identity.output.id : v.safeParse(v.object({ id: v.string() }), row)
  if (typeof id !== 'string' && !id.success) return null
  return {
    id: typeof id === 'string' ? id : id.output.id,
    parentId: identity.success ? identity.output.parent_id : null,
    role: 'assistant',
    content: identity.success ? identity.output.content : '',
    status: 'failed',
    createdAtMs: 0,
    finishReason: null,
    stats: null,
    energy: null,
    error: {
      code: 'store-damaged',
      message: 'This message is damaged on the disk: what is left of it is shown.',
      remedy: 'Check the disk. Other messages are not affected.',
    },
    notice: null,
  }
}

/** Parents before their children, and none without: a message whose parent is lost follows the one stored before it. */
export function messagesOfRows(rows: readonly unknown[]): MessageNode[] {
  const known = new Set<string>()
  let lastId: string | null = null
  return rows.flatMap(row => {
    const message = messageOfRow(row)
    if (message === null || known.has(message.id)) return []
    const parentId = message.parentId !== null && !known.has(message.parentId) ? lastId : message.parentId
    known.add(message.id)
    lastId = message.id
    return [{ ...message, parentId }]
  })
}
