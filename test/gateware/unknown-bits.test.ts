/** A whole tiny model on Icarus, where an unknown bit spreads: nothing that the device answers may depend on what nobody set. */
import { expect, it } from 'vitest'
import { conversationOnIcarus } from './conversation.ts'
import { hasCommand } from './simulators.ts'

it.skipIf(!hasCommand('iverilog'))('a tiny model by bytes of the link, in both packings', { timeout: 240_000 }, () => {
  const { isRight, result } = conversationOnIcarus()
  expect(result).not.toBe('no result')
  expect(isRight).toBe(true)
})
