/** Messages as a chat template takes them. */
import * as v from 'valibot'

export const chatRoleSchema = v.picklist(['system', 'user', 'assistant'])

export const templateMessageSchema = v.object({ role: chatRoleSchema, content: v.string() })
export type TemplateMessage = v.InferOutput<typeof templateMessageSchema>
