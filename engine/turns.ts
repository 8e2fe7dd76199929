/** Turns on a device that takes one call at a time: in the order of asking, whoever asks. */
import type { CancelWatch } from './cancel-watch.ts'
import type { CancelSignal, MaybePromise } from './engine-environment.ts'
import { EngineError } from './errors.ts'

export class Turns {
  /** Settles when the turn given out last has ended. */
  private last: Promise<void> = Promise.resolve()
  private waiting = 0
  private isClosed = false
  private readonly watch: CancelWatch

  constructor(watch: CancelWatch) {
    this.watch = watch
  }

  /** Somebody waits for a turn. */
  get othersWait(): boolean {
    return this.waiting > 0
  }

  /** Runs alone. Throws `model-not-loaded` after `close`, `cancelled` when the signal fires before the turn begins. */
  async exclusive<T>(work: () => MaybePromise<T>, signal?: CancelSignal): Promise<T> {
    const before = this.last
    let end = (): void => {}
    this.last = new Promise(resolve => {
      end = resolve
    })
    this.waiting++
    try {
      await this.watch.until(before, signal)
    } catch (error) {
      void before.then(end)
      throw error
    } finally {
      this.waiting--
    }
    try {
      if (this.isClosed) throw notLoaded()
      return await work()
    } finally {
      end()
    }
  }

  /** Nobody gets another turn. */
  close(): void {
    this.isClosed = true
  }

  /** Settles when all turns asked for so far have ended; never rejects. */
  idle(): Promise<void> {
    return this.last
  }
}

export const notLoaded = (): EngineError =>
  new EngineError('model-not-loaded', 'The model was closed.', { remedy: 'Load it again.' })
