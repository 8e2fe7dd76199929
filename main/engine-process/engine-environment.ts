/** What the engine asks of what surrounds it, from Node: clock, turns of the event loop, hashes. */
import { createHash } from 'node:crypto'
import type { EngineEnvironment } from '../../engine/engine.ts'

export const nodeEngineEnvironment: EngineEnvironment = {
  clock: { nowMs: () => performance.now() },
  // setImmediate runs after pending input and output: messages arrive, a stop is seen.
  yieldToEventLoop: () => new Promise(resolve => setImmediate(resolve)),
  createSha256() {
    const hash = createHash('sha256')
    return {
      update: bytes => void hash.update(bytes),
      digestHex: () => hash.digest('hex'),
    }
  },
}
