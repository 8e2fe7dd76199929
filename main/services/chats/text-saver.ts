/** Hands streamed text to the store a few times a second: what a killed host loses is bounded, and the store is not busy. */
import type { Cancel, Time } from '../../time.ts'

/** Text of this time may be lost when the host is killed. */
const SAVE_INTERVAL_MS = 200

export class TextSaver {
  private readonly time: Time
  private readonly save: (text: string, atOffset: number) => void
  private savedLength: number
  private pending = ''
  private cancel: Cancel | null = null

  /** `length`: of the text that is stored already. */
  constructor(time: Time, length: number, save: (text: string, atOffset: number) => void) {
    this.time = time
    this.savedLength = length
    this.save = save
  }

  add(text: string): void {
    this.pending += text
    this.cancel ??= this.time.after(SAVE_INTERVAL_MS, () => this.flush())
  }

  flush(): void {
    this.cancel?.()
    this.cancel = null
    if (this.pending === '') return
    const text = this.pending
    this.pending = ''
    this.save(text, this.savedLength)
    this.savedLength += text.length
  }
}
