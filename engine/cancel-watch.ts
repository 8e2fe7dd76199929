/**
 * Cancel signals do not call, they are looked at. Whoever waits for something long (its turn, a model that moves) is let go
 * at the next look, which whoever makes it wait takes while it makes progress.
 */

import type { CancelSignal } from './engine-environment.ts'
import { cancelled } from './errors.ts'

export class CancelWatch {
  private readonly looks = new Set<() => void>()

  /** What `promise` gives, or `cancelled` when a look finds the signal fired first. */
  until<T>(promise: Promise<T>, signal: CancelSignal | undefined): Promise<T> {
    if (signal === undefined) return promise
    return new Promise<T>((resolve, reject) => {
      const stop = this.onLook(() => {
        if (!signal.aborted) return
        stop()
        reject(cancelled())
      })
      promise.then(resolve, reject).finally(stop)
    })
  }

  /** Called at every look, until the function that this returns is. */
  onLook(look: () => void): () => void {
    this.looks.add(look)
    return () => this.looks.delete(look)
  }

  look(): void {
    for (const look of [...this.looks]) look()
  }
}
