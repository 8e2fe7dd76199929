/** Fair turns: as many at once as one batch takes well, the others in the order in which they came, up to a bound. */
import type { AbortSignalLike } from '../../../contract/rpc.ts'
import { ApiError } from './api-error.ts'

const MAX_RUNNING = 16
const MAX_WAITING = 128

export class Turns {
  running = 0
  private readonly waiting: (() => void)[] = []

  get waitingCount(): number {
    return this.waiting.length
  }

  /** Resolves when it is this one's turn, with what ends it. Throws a 429 when too many wait. */
  async enter(signal: AbortSignalLike): Promise<() => void> {
    if (this.running >= MAX_RUNNING) {
      if (this.waiting.length >= MAX_WAITING) {
        throw new ApiError(429, 'too_many_requests', 'Too many requests wait already. Try again in a moment.')
      }
      await new Promise<void>((resolve, reject) => {
        const enter = () => resolve()
        this.waiting.push(enter)
        signal.addEventListener('abort', () => {
          const at = this.waiting.indexOf(enter)
          if (at !== -1) this.waiting.splice(at, 1)
          reject(new ApiError(499, 'client_closed', 'The client went away.'))
        })
      })
    } else this.running++
    let isOver = false
    return () => {
      if (isOver) return
      isOver = true
      const next = this.waiting.shift()
      // The next one takes this place.
      if (next === undefined) this.running--
      else next()
    }
  }
}
