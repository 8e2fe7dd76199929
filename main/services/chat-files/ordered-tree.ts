/** Messages of a file as a tree that can be stored: parents first, each id once, and no parent that is not there. */
import type { MessageNode } from '../chats/ports.ts'
import type { StoredChat } from './ports.ts'

export function orderedTree({ chat, messages }: StoredChat): StoredChat {
  const byId = new Map<string, MessageNode>()
  for (const message of messages) if (!byId.has(message.id)) byId.set(message.id, message)
  const children = Map.groupBy(byId.values(), ({ parentId }) =>
    parentId !== null && byId.has(parentId) ? parentId : null,
  )
  const ordered: MessageNode[] = []
  const placed = new Set<string>()
  const placeBelow = (top: MessageNode, parentId: string | null) => {
    const waiting: { node: MessageNode; parentId: string | null }[] = [{ node: top, parentId }]
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      if (placed.has(next.node.id)) continue
      placed.add(next.node.id)
      ordered.push({ ...next.node, parentId: next.parentId })
      const below = children.get(next.node.id) ?? []
      for (const node of below.toReversed()) waiting.push({ node, parentId: next.node.id })
    }
  }
  for (const node of children.get(null) ?? []) placeBelow(node, null)
  // A ring has no beginning: it is cut at its first message.
  for (const node of byId.values()) if (!placed.has(node.id)) placeBelow(node, null)
  const leafId =
    chat.activeLeafId !== null && byId.has(chat.activeLeafId) ? chat.activeLeafId : (ordered.at(-1)?.id ?? null)
  return { chat: { ...chat, activeLeafId: leafId }, messages: ordered }
}
