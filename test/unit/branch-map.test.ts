import { describe, expect, it } from 'vitest'
import type { MapNode } from '../../contract/app/chats.ts'
import { branchMap, countBranches } from '../../renderer/features/branches/branch-map.ts'
import { FIRST_TEMPERATURES, nextTemperature } from '../../renderer/features/branches/temperatures.ts'

/** 'q1', 'a1<q1': roles by their first letter, parents after the sign. */
const nodesOf = (...entries: string[]): MapNode[] =>
  entries.map(entry => {
    const [id, parentId = null] = entry.split('<')
    return { id, parentId, role: id.startsWith('q') ? 'user' : 'assistant', opening: `of ${id}`, createdAtMs: 0 }
  })

/** A row in few letters: lane, id, where it comes from, folded. */
const drawn = (nodes: MapNode[], leafId: string | null) => {
  const rows = branchMap(nodes, leafId)
  return rows.map(
    ({ lane, id, from, isShown, isHere, folded }) =>
      `${'  '.repeat(lane)}${isHere ? '@' : isShown ? '*' : 'o'} ${id}${from === null ? '' : ` from ${rows[from].id}`}${folded === 0 ? '' : ` +${folded}`}`,
  )
}

describe('the map of a chat', () => {
  it('of a chat without branches is one line of its questions', () => {
    expect(drawn(nodesOf('q1', 'a1<q1', 'q2<a1', 'a2<q2'), 'a2')).toEqual(['* q1 +1', '* q2 from q1', '@ a2 from q2'])
  })

  it('lets versions leave the trunk before it goes on', () => {
    const nodes = nodesOf('q1', 'a1<q1', 'a2<q1', 'q2<a1', 'b2<q2', 'q3<a2', 'a3<q3')
    expect(drawn(nodes, 'b2')).toEqual([
      '* q1',
      '  o a2 from q1',
      '  o q3 from a2 +1',
      '* a1 from q1',
      '* q2 from a1',
      '@ b2 from q2',
    ])
    expect(drawn(nodes, 'a3')).toEqual([
      '* q1',
      '  o a1 from q1',
      '  o q2 from a1 +1',
      '* a2 from q1',
      '* q3 from a2',
      '@ a3 from q3',
    ])
    expect(countBranches(nodes)).toBe(2)
  })

  it('begins with several first messages, where the first one was edited', () => {
    expect(drawn(nodesOf('q1', 'a1<q1', 'q2', 'a2<q2'), 'a1')).toEqual(['  o q2 +1', '* q1', '@ a1 from q1'])
  })

  it('goes to the right with every branch of a branch, up to a limit', () => {
    const nodes = nodesOf('q1')
    for (let n = 1; n <= 12; n++)
      nodes.push(...nodesOf(`a${n}<${n === 1 ? 'q1' : `b${n - 1}`}`, `b${n}<${n === 1 ? 'q1' : `b${n - 1}`}`))
    expect(Math.max(...branchMap(nodes, 'a1').map(({ lane }) => lane))).toBe(2)
    const comb = nodesOf('q0')
    for (let n = 1; n <= 12; n++)
      comb.push(...nodesOf(`a${n}<${n === 1 ? 'q0' : `a${n - 1}`}`, `z${n}<${n === 1 ? 'q0' : `a${n - 1}`}`))
    expect(Math.max(...branchMap(comb, 'z1').map(({ lane }) => lane))).toBeLessThanOrEqual(5)
  })

  it('of 5,000 messages has a row for each place where branches part, and counts all others', () => {
    const nodes = nodesOf('q0')
    for (let n = 1; n < 5_000; n++)
      nodes.push(...nodesOf(`${n % 2 === 0 ? 'q' : 'a'}${n}<${n % 2 === 0 ? 'a' : 'q'}${n - 1}`))
    nodes.push(...nodesOf('b4001<q4000'))
    const rows = branchMap(nodes, 'a4999')
    expect(rows.map(({ id, folded }) => [id, folded])).toEqual([
      ['q0', 3999],
      ['q4000', 0],
      ['b4001', 0],
      ['a4001', 997],
      ['a4999', 0],
    ])
    expect(rows.length + rows.reduce((sum, { folded }) => sum + folded, 0)).toBe(nodes.length)
  })

  it('of an empty chat is empty', () => {
    expect(branchMap([], null)).toEqual([])
  })
})

describe('the temperatures of replies that are compared', () => {
  it('are each another one, until there are no more', () => {
    expect(new Set(FIRST_TEMPERATURES).size).toBe(3)
    expect(FIRST_TEMPERATURES).not.toContain(nextTemperature(FIRST_TEMPERATURES))
    expect(nextTemperature([0.3, null, 1])).toBe(0.7)
  })
})
