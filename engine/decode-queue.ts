/**
 * Sessions of one model that write at the same time: those that wait for their next token together are served by one step
 * of the backend, which then reads the weights once for all. A session that writes alone never waits.
 */
import type { CancelWatch } from './cancel-watch.ts'
import type { CancelSignal, YieldToEventLoop } from './engine-environment.ts'
import { cancelled } from './errors.ts'
import type { Sequence, Sequences } from './sequences.ts'
import type { Turns } from './turns.ts'

interface Request {
  sequence: Sequence
  token: number
  signal: CancelSignal
  /** Gets a view that ends with the call. */
  take(logits: Float32Array): void
  resolve(): void
  reject(error: unknown): void
}

/** Steps of some sequences in a row, where the device has no room for all that write. */
const MAX_PAGE_STEPS = 16

export class DecodeQueue {
  private readonly sequences: Pick<Sequences, 'capabilities' | 'decode'>
  private readonly turns: Pick<Turns, 'exclusive'>
  private readonly yieldToEventLoop: YieldToEventLoop
  private waiting: Request[] = []
  private isScheduled = false
  private writers = 0
  /** The sequences served last, and how often in a row. */
  private page = { sequences: new Set<Sequence>(), steps: 0 }

  constructor(
    sequences: Pick<Sequences, 'capabilities' | 'decode'>,
    turns: Pick<Turns, 'exclusive'>,
    watch: CancelWatch,
    yieldToEventLoop: YieldToEventLoop,
  ) {
    this.sequences = sequences
    this.turns = turns
    this.yieldToEventLoop = yieldToEventLoop
    watch.onLook(() => this.letGo())
  }

  /** A session is about to ask for tokens, until it calls what this returns. */
  enter(): () => void {
    this.writers++
    return () => {
      this.writers--
    }
  }

  /**
   * Feeds `token`; `take` gets the logits of the next one. Throws what decoding throws, and `cancelled` when the signal fires
   * while the request waits: then nothing was fed.
   */
  decode(sequence: Sequence, token: number, signal: CancelSignal, take: (logits: Float32Array) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ sequence, token, signal, take, resolve, reject })
      this.schedule()
    })
  }

  private schedule(): void {
    if (this.isScheduled) return
    this.isScheduled = true
    this.turns
      .exclusive(() => this.serve())
      .catch(error => {
        this.isScheduled = false
        for (const request of this.waiting.splice(0)) request.reject(error)
      })
  }

  /** Requests whose signal has fired. */
  private letGo(): void {
    const waiting: Request[] = []
    for (const request of this.waiting) {
      if (request.signal.aborted) request.reject(cancelled())
      else waiting.push(request)
    }
    this.waiting = waiting
  }

  private async serve(): Promise<void> {
    const { batch, residentStates } = this.sequences.capabilities
    const most = Math.min(batch, residentStates)
    // Writers ask one after another within one turn of the event loop: after it all of them are here.
    if (most > 1 && this.waiting.length < Math.min(this.writers, most)) await this.yieldToEventLoop()
    const goOn = this.writers > residentStates ? await this.takePage() : []
    this.isScheduled = false
    const requests = goOn.length > 0 ? goOn : this.waiting.splice(0, most)
    if (goOn.length === 0) this.page = { sequences: new Set(requests.map(({ sequence }) => sequence)), steps: 1 }
    if (this.waiting.length > 0) this.schedule()
    if (requests.length > 1 && (await this.serveTogether(requests))) return
    for (const request of requests) await this.serveAlone(request)
  }

  /**
   * More write than the device has states for, and every change copies states out and in: those that are there go on for
   * some steps. Empty: it is the others' turn.
   */
  private async takePage(): Promise<Request[]> {
    const { page } = this
    const isOfPage = ({ sequence }: Request): boolean => page.sequences.has(sequence)
    if (page.steps >= MAX_PAGE_STEPS || page.sequences.size === 0) return []
    // They ask for their next token within one turn of the event loop.
    if (!this.waiting.some(isOfPage)) await this.yieldToEventLoop()
    page.steps++
    const requests = this.waiting.filter(isOfPage)
    this.waiting = this.waiting.filter(request => !isOfPage(request))
    return requests
  }

  /** false: none was served. One of them was refused or cancelled, or the backend has failed: each learns it by itself. */
  private async serveTogether(requests: readonly Request[]): Promise<boolean> {
    let logits: Float32Array[]
    const signal = {
      get aborted() {
        return requests.some(({ signal }) => signal.aborted)
      },
    }
    try {
      logits = await this.sequences.decode(requests, signal)
    } catch {
      return false
    }
    for (const [index, request] of requests.entries()) request.take(logits[index])
    for (const request of requests) request.resolve()
    return true
  }

  private async serveAlone(request: Request): Promise<void> {
    try {
      const [logits] = await this.sequences.decode([request], request.signal)
      request.take(logits)
      request.resolve()
    } catch (error) {
      request.reject(error)
    }
  }
}
