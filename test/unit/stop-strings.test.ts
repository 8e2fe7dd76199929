import { describe, expect, it } from 'vitest'
import { createStopMatcher } from '../../engine/sampling/stop-strings.ts'
import { createRandom } from '../../engine/seeded-random.ts'

interface Outcome {
  text: string
  stop: string | null
}

function feed(stops: string[], pieces: string[]): Outcome {
  const matcher = createStopMatcher(stops)
  let text = ''
  for (const piece of pieces) {
    const match = matcher.push(piece)
    text += match.text
    if (match.stop !== null) return { text, stop: match.stop }
  }
  return { text: text + matcher.flush(), stop: null }
}

/** The definition: the stop string that ends first, of several ending together the longest. */
function expected(stops: string[], text: string): Outcome {
  for (let end = 1; end <= text.length; end++) {
    const here = stops.filter(stop => text.slice(0, end).endsWith(stop)).sort((a, b) => b.length - a.length)
    if (here.length > 0) return { text: text.slice(0, end - here[0].length), stop: here[0] }
  }
  return { text, stop: null }
}

describe('stop strings', () => {
  it('are found across pieces and are not part of the text', () => {
    expect(feed(['STOP'], ['a S', 'T', 'OP b'])).toEqual({ text: 'a ', stop: 'STOP' })
    expect(feed(['\n\n'], ['one\n', '\ntwo'])).toEqual({ text: 'one', stop: '\n\n' })
    expect(feed(['🙂'], ['x🙂y'])).toEqual({ text: 'x', stop: '🙂' })
  })

  it('are held back only as long as they may still come', () => {
    const matcher = createStopMatcher(['User:', '\nUs'])
    expect(matcher.push('Hi\n')).toEqual({ text: 'Hi', stop: null })
    expect(matcher.push('U')).toEqual({ text: '', stop: null })
    expect(matcher.push('p')).toEqual({ text: '\nUp', stop: null })
    expect(matcher.push('Use')).toEqual({ text: '', stop: null })
    expect(matcher.flush()).toBe('Use')
  })

  it('keep their tail when a beginning repeats', () => {
    expect(feed(['aab'], ['a', 'a', 'a', 'b'])).toEqual({ text: 'a', stop: 'aab' })
    expect(feed(['abcabd'], ['abcabcabd'])).toEqual({ text: 'abc', stop: 'abcabd' })
  })

  it('that end first win, the longest of those that end together', () => {
    expect(feed(['abcd', 'bc'], ['abcd'])).toEqual({ text: 'a', stop: 'bc' })
    expect(feed(['bc', 'abc', 'c'], ['xabc'])).toEqual({ text: 'x', stop: 'abc' })
  })

  it('give nothing more after a match', () => {
    const matcher = createStopMatcher(['x'])
    expect(matcher.push('axb')).toEqual({ text: 'a', stop: 'x' })
    expect(matcher.push('more')).toEqual({ text: '', stop: null })
    expect(matcher.flush()).toBe('')
  })

  it('may be none', () => {
    expect(feed([], ['a', 'b'])).toEqual({ text: 'ab', stop: null })
  })

  it('are found as defined, however the text is cut', () => {
    const random = createRandom(5)
    const word = (most: number): string =>
      Array.from({ length: 1 + Math.floor(random() * most) }, () => 'abc'[Math.floor(random() * 3)]).join('')
    for (let round = 0; round < 3000; round++) {
      const stops = Array.from({ length: 1 + Math.floor(random() * 4) }, () => word(6))
      const text = word(40)
      const pieces: string[] = []
      for (let at = 0; at < text.length; ) {
        const length = 1 + Math.floor(random() * 5)
        pieces.push(text.slice(at, at + length))
        at += length
      }
      expect(feed(stops, pieces), JSON.stringify({ stops, pieces })).toEqual(expected(stops, text))
    }
  })

  it('take time that grows with the text, not with what is held back', () => {
    const matcher = createStopMatcher([`${'a'.repeat(1000)}b`])
    let length = 0
    for (let i = 0; i < 100_000; i++) length += matcher.push('a').text.length
    expect(length + matcher.flush().length).toBe(100_000)
  })
})
