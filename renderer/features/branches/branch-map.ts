/**
 * The tree of a chat as rows of a small map, top to bottom: the branch in sight is the trunk, others leave it to the right
 * and end before it goes on. Messages that lead nowhere else are folded into the row above them.
 */
import type { MapNode } from '../../../contract/app/chats.ts'

export interface MapRow {
  id: string
  role: MapNode['role']
  opening: string
  /** How far to the right; 0 is the trunk. */
  lane: number
  /** The row that leads to it; null: it begins the chat. */
  from: number | null
  isShown: boolean
  /** The end of the branch in sight. */
  isHere: boolean
  /** Messages that follow it and have no row. */
  folded: number
}

/** Beyond this many messages only those at which branches part, and the two ends, have rows. */
const MAX_UNFOLDED = 40
/** More branches beside each other share the outermost lane. */
const MAX_LANE = 5

/** `nodes`: parents before their children, versions in their order. `leafId`: the end of the branch in sight. */
export function branchMap(nodes: readonly MapNode[], leafId: string | null): MapRow[] {
  const children = Map.groupBy(nodes, ({ parentId }) => parentId)
  const byId = new Map(nodes.map(node => [node.id, node]))
  const shown = new Set<string>()
  for (let id = leafId; id !== null; id = byId.get(id)?.parentId ?? null) shown.add(id)

  const below = (id: string | null): readonly MapNode[] => children.get(id) ?? []
  const hasRow = ({ id, parentId, role }: MapNode): boolean =>
    parentId === null ||
    id === leafId ||
    below(parentId).length > 1 ||
    below(id).length > 1 ||
    (role === 'user' && nodes.length <= MAX_UNFOLDED)

  const rows: MapRow[] = []
  const waiting: { node: MapNode; lane: number; from: number | null }[] = []
  /** The trunk last: it goes on below all that leaves it. The stack takes them in reverse. */
  const follow = (parentId: string | null, lane: number, from: number | null): void => {
    const nexts = below(parentId)
    const trunk = nexts.find(({ id }) => shown.has(id)) ?? nexts.at(-1)
    if (trunk === undefined) return
    waiting.push({ node: trunk, lane, from })
    const side = Math.min(lane + 1, MAX_LANE)
    for (const node of nexts.toReversed()) if (node !== trunk) waiting.push({ node, lane: side, from })
  }

  follow(null, 0, null)
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { node, lane, from } = next
    const { id, role, opening } = node
    const above = from === null ? undefined : rows[from]
    if (above !== undefined && !hasRow(node)) {
      above.folded++
      follow(id, lane, from)
      continue
    }
    rows.push({ id, role, opening, lane, from, isShown: shown.has(id), isHere: id === leafId, folded: 0 })
    follow(id, lane, rows.length - 1)
  }
  return rows
}

/** Ends of branches. */
export function countBranches(nodes: readonly MapNode[]): number {
  const parents = new Set(nodes.map(({ parentId }) => parentId))
  return nodes.filter(({ id }) => !parents.has(id)).length
}
