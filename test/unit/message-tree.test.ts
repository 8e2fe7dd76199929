/** The tree of a chat's messages: branches, versions, and what a model reads. */
import { describe, expect, it } from 'vitest'
import { type MessageNode, MessageTree } from '../../main/services/chats/message-tree.ts'
import { messageNode } from '../messages.ts'

const node = (id: string, parentId: string | null, role: 'user' | 'assistant' = 'user', content = id): MessageNode =>
  messageNode({ id, parentId, role, content })
/** a - b - c - d, c2 - e below b, and a2 beside a. */
const grown = (activeLeafId: string | null = null) =>
  new MessageTree(
    [
      node('a', null),
      node('b', 'a', 'assistant'),
      node('c', 'b'),
      node('d', 'c', 'assistant'),
      node('c2', 'b'),
      node('e', 'c2', 'assistant'),
      node('a2', null),
    ],
    activeLeafId,
  )
const ids = (nodes: readonly MessageNode[]) => nodes.map(({ id }) => id).join(' ')

describe('the branch that is shown', () => {
  it.each([
    [null, 'a2'],
    ['d', 'a b c d'],
    ['e', 'a b c2 e'],
    ['a2', 'a2'],
    ['no-such', 'a2'],
  ])('of a tree that was left at %s', (leaf, path) => {
    expect(ids(grown(leaf).activePath())).toBe(path)
  })

  it('is that of what was added last', () => {
    const tree = grown('d')
    tree.addChild(node('f', 'b'))
    expect(ids(tree.activePath())).toBe('a b f')
    expect(tree.activeLeafId).toBe('f')
  })

  it('goes down from a version as it was last seen', () => {
    const tree = grown('d')
    tree.show('a2')
    tree.show('a')
    expect(ids(tree.activePath())).toBe('a b c d')
    tree.show('c2')
    expect(ids(tree.activePath())).toBe('a b c2 e')
  })

  it('of an empty tree is empty', () => {
    const tree = new MessageTree()
    expect([tree.activePath(), tree.activeLeafId, tree.size]).toEqual([[], null, 0])
  })
})

describe('versions', () => {
  it('are siblings, oldest first', () => {
    const tree = grown()
    expect(tree.siblings('c')).toEqual(['c', 'c2'])
    expect(tree.siblings('a2')).toEqual(['a', 'a2'])
    expect(tree.siblings('d')).toEqual(['d'])
  })

  it('taken away give way to the latest that is left; the last one leaves its parent as leaf', () => {
    const tree = grown('e')
    tree.removeLeaf('e')
    expect(tree.activeLeafId).toBe('c2')
    tree.removeLeaf('c2')
    expect(ids(tree.activePath())).toBe('a b c d')
    expect(() => tree.removeLeaf('c')).toThrow(/answers/)
    // One that is not shown changes nothing of what is.
    tree.addChild(node('c3', 'b'))
    tree.show('c')
    tree.removeLeaf('c3')
    expect(ids(tree.activePath())).toBe('a b c d')
  })
})

describe('what cannot be', () => {
  it('is refused: an unknown parent, a known id, an unknown message', () => {
    const tree = grown()
    expect(() => tree.addChild(node('x', 'no-such'))).toThrow(/no-such/)
    expect(() => tree.addChild(node('a', null))).toThrow(/already/)
    for (const work of [
      () => tree.pathTo('x'),
      () => tree.show('x'),
      () => tree.siblings('x'),
      () => tree.patch('x', {}),
    ]) {
      expect(work).toThrow(/No message x/)
    }
    expect(tree.size).toBe(7)
  })
})

it('a conversation is the path, without replies that never got a word', () => {
  const tree = grown('d')
  tree.patch('b', { content: '', status: 'failed' })
  expect(tree.conversation('d').map(({ role, content }) => `${role} ${content}`)).toEqual([
    'user a',
    'user c',
    'assistant d',
  ])
})

it('a change makes a new message; what was handed out stays as it was', () => {
  const tree = grown('d')
  const before = tree.node('d')!
  const after = tree.patch('d', { content: 'other' })
  expect([before.content, after.content, tree.node('d')]).toEqual(['d', 'other', after])
})
