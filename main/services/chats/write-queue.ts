/** Everything that is stored, one after another. */
import { type TernErrorData, toErrorData } from '../../../contract/errors.ts'

export class WriteQueue {
  private readonly onFailure: (error: TernErrorData | null) => void
  private hasFailed = false
  private last: Promise<unknown> = Promise.resolve()

  /** `onFailure`: told of every write that failed, and null when one succeeds after that. */
  constructor(onFailure: (error: TernErrorData | null) => void) {
    this.onFailure = onFailure
  }

  /** After all that was added before; throws what `work` throws. */
  add<T>(work: () => Promise<T>): Promise<T> {
    const done = this.last.then(work)
    this.last = done.then(
      () => {
        if (this.hasFailed) this.onFailure(null)
        this.hasFailed = false
      },
      thrown => {
        const error = toErrorData(thrown)
        if (error.code === 'chat-not-found' || error.code === 'message-not-found') return
        this.hasFailed = true
        this.onFailure(error)
      },
    )
    return done
  }

  /** Nothing is waiting any more, what was added meanwhile among it. */
  async settled(): Promise<void> {
    let seen: Promise<unknown>
    do {
      seen = this.last
      await seen
    } while (seen !== this.last)
  }
}
