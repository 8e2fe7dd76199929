/**
 * The messages of a chat as a tree: a version of a message is a sibling, a branch a path to a leaf. It draws no ids, reads
 * no clock and stores nothing.
 */
import type { ChatMessage } from '../../../contract/app/chats.ts'
import type { TemplateMessage } from '../../../contract/words/message.ts'

/** A message as it is stored: without what follows from its place. */
export interface MessageNode extends Omit<ChatMessage, 'actions' | 'versions' | 'start'> {
  readonly parentId: string | null
}

/** What may change in a message that stands. */
export type MessagePatch = Partial<Omit<MessageNode, 'id' | 'parentId' | 'role' | 'createdAtMs'>>

export class MessageTree {
  private readonly nodes = new Map<string, MessageNode>()
  /** By parent, oldest first; null: the first messages. */
  private readonly children = new Map<string | null, string[]>()
  /** Which child of each parent was last shown. */
  private readonly shown = new Map<string | null, string>()

  /** `nodes`: parents before their children. `activeLeafId`: the branch shown; of others the last version is. */
  constructor(nodes: readonly MessageNode[] = [], activeLeafId: string | null = null) {
    for (const node of nodes) this.addChild(node)
    if (activeLeafId !== null && this.nodes.has(activeLeafId)) this.show(activeLeafId)
  }

  get size(): number {
    return this.nodes.size
  }

  node(id: string): MessageNode | undefined {
    return this.nodes.get(id)
  }

  /** Of all branches, parents before their children, versions in their order. */
  all(): MessageNode[] {
    return [...this.nodes.values()]
  }

  /** Adds a message and shows it. Throws when its parent is unknown or its id is known. */
  addChild(node: MessageNode): void {
    if (this.nodes.has(node.id)) throw new Error(`Message ${node.id} is in the tree already.`)
    if (node.parentId !== null && !this.nodes.has(node.parentId)) throw new Error(`No message ${node.parentId}.`)
    this.nodes.set(node.id, node)
    this.children.set(node.parentId, [...this.siblingsBelow(node.parentId), node.id])
    this.shown.set(node.parentId, node.id)
  }

  /** Changes a message; returns it as it is now. */
  patch(id: string, patch: MessagePatch): MessageNode {
    const node = { ...this.expect(id), ...patch }
    this.nodes.set(id, node)
    return node
  }

  /** Takes a leaf away; its latest sibling is shown instead. */
  removeLeaf(id: string): void {
    const { parentId } = this.expect(id)
    if (this.siblingsBelow(id).length > 0) throw new Error(`Message ${id} has answers.`)
    const left = this.siblingsBelow(parentId).filter(sibling => sibling !== id)
    this.nodes.delete(id)
    this.children.set(parentId, left)
    const latest = left.at(-1)
    if (latest === undefined) this.shown.delete(parentId)
    else if (this.shown.get(parentId) === id) this.shown.set(parentId, latest)
  }

  /** A message and all that follow it in any branch, parents first. */
  below(id: string): MessageNode[] {
    const found = [this.expect(id)]
    for (const { id: parentId } of found)
      for (const child of this.siblingsBelow(parentId)) found.push(this.expect(child))
    return found
  }

  /** Takes a message and all below it away; its latest sibling is shown instead. Returns them, parents first. */
  removeFrom(id: string): MessageNode[] {
    const removed = this.below(id)
    for (const node of removed.toReversed()) this.removeLeaf(node.id)
    return removed
  }

  /** What `removeFrom` took, as the last versions; `leafId`: the branch to show. */
  addAgain(nodes: readonly MessageNode[], leafId: string | null): void {
    for (const node of nodes) this.addChild(node)
    if (leafId !== null) this.show(leafId)
  }

  /** All versions of a message, oldest first, itself among them. */
  siblings(id: string): readonly string[] {
    return this.siblingsBelow(this.expect(id).parentId)
  }

  /** Shows the branch through this message, below it as it was last shown. */
  show(id: string): void {
    for (const node of this.pathTo(id)) this.shown.set(node.parentId, node.id)
  }

  /** From the first message to this one. */
  pathTo(id: string): MessageNode[] {
    const path: MessageNode[] = []
    for (let at: MessageNode | undefined = this.expect(id); at !== undefined; ) {
      path.push(at)
      at = at.parentId === null ? undefined : this.expect(at.parentId)
    }
    return path.reverse()
  }

  /** The branch that is shown, from its first message to its leaf. */
  activePath(): MessageNode[] {
    const path: MessageNode[] = []
    for (let id = this.shown.get(null); id !== undefined; id = this.shown.get(id)) path.push(this.expect(id))
    return path
  }

  get activeLeafId(): string | null {
    return this.activePath().at(-1)?.id ?? null
  }

  /** What a model reads to stand at this message. A reply that ended before its first word is no part of it. */
  conversation(id: string): TemplateMessage[] {
    return this.pathTo(id)
      .filter(({ role, content }) => role !== 'assistant' || content !== '')
      .map(({ role, content }) => ({ role, content }))
  }

  private siblingsBelow(parentId: string | null): readonly string[] {
    return this.children.get(parentId) ?? []
  }

  private expect(id: string): MessageNode {
    const node = this.nodes.get(id)
    if (node === undefined) throw new Error(`No message ${id}.`)
    return node
  }
}
