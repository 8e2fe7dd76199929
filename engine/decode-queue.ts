/**
 * Sessions of one model that write at the same time: those that wait for their next token together are served by one step
 * of the backend, which then reads the weights once for all. A session that writes alone never waits.
 */
import type { Runner, RunnerState } from './backends/backend.ts'
import type { YieldToHost } from './host.ts'

interface Request {
  state: RunnerState
  token: number
  /** Gets a view that ends with the call. */
  take(logits: Float32Array): void
  resolve(): void
  reject(error: unknown): void
}

export class DecodeQueue {
  private readonly runner: Runner
  private readonly exclusive: (work: () => Promise<void>) => Promise<void>
  private readonly yieldToHost: YieldToHost
  private waiting: Request[] = []
  private isScheduled = false
  private writers = 0

  constructor(runner: Runner, exclusive: (work: () => Promise<void>) => Promise<void>, yieldToHost: YieldToHost) {
    this.runner = runner
    this.exclusive = exclusive
    this.yieldToHost = yieldToHost
  }

  /** A session is about to ask for tokens, until it calls what this returns. */
  enter(): () => void {
    this.writers++
    return () => {
      this.writers--
    }
  }

  /** Feeds `token`; `take` gets the logits of the next one. Throws what the backend's `decode` throws. */
  decode(state: RunnerState, token: number, take: (logits: Float32Array) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ state, token, take, resolve, reject })
      this.schedule()
    })
  }

  private schedule(): void {
    if (this.isScheduled) return
    this.isScheduled = true
    this.exclusive(() => this.serve()).catch(error => {
      this.isScheduled = false
      for (const request of this.waiting.splice(0)) request.reject(error)
    })
  }

  private async serve(): Promise<void> {
    const most = this.runner.decodeBatch ? (this.runner.decodeBatchMost ?? 1) : 1
    // Writers ask one after another within one turn of the event loop: after it all of them are here.
    if (most > 1 && this.waiting.length < Math.min(this.writers, most)) await this.yieldToHost()
    this.isScheduled = false
    const requests = this.waiting.splice(0, most)
    if (this.waiting.length > 0) this.schedule()
    if (requests.length > 1 && (await this.serveTogether(requests))) return
    for (const request of requests) await this.serveAlone(request)
  }

  /** false: none was served. One of them was refused, or the backend has failed, and then each learns it by itself. */
  private async serveTogether(requests: readonly Request[]): Promise<boolean> {
    const states = requests.map(({ state }) => state)
    const tokens = requests.map(({ token }) => token)
    let logits: Float32Array[]
    try {
      logits = await this.runner.decodeBatch!(states, tokens)
    } catch {
      return false
    }
    for (const [index, request] of requests.entries()) request.take(logits[index])
    for (const request of requests) request.resolve()
    return true
  }

  private async serveAlone({ state, token, take, resolve, reject }: Request): Promise<void> {
    try {
      take(await this.runner.decode(state, token))
      resolve()
    } catch (error) {
      reject(error)
    }
  }
}
