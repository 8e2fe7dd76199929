/**
 * Collects streamed text and hands it on about once a frame, with the speed of the last second: windows draw 60 times a
 * second, tokens come faster.
 */
import type { Cancel, Time } from '../../time.ts'

/** Milliseconds between two batches: one frame at 60 Hz. */
const FRAME_MS = 16
/** Speed is taken over this time. */
const WINDOW_MS = 1_000
/** Below this span a speed is noise. */
const MIN_SPAN_MS = 100

export interface AppendBatch {
  add(text: string, tokenCount: number): void
  /** Hands on what is collected now. */
  flush(): void
}

export function createAppendBatch(
  time: Time,
  onBatch: (text: string, generatedTokens: number, tokensPerSecond: number | null) => void,
): AppendBatch {
  let text = ''
  let generatedTokens = 0
  let cancel: Cancel | null = null
  /** Total tokens at moments within the last second, oldest first; the first is the base of the speed. */
  const marks: { atMs: number; tokens: number }[] = []

  const tokensPerSecond = (): number | null => {
    const nowMs = time.nowMs()
    while (marks.length > 2 && nowMs - marks[1]!.atMs >= WINDOW_MS) marks.shift()
    const first = marks[0]
    const last = marks[marks.length - 1]
    if (first === undefined || last === undefined) return null
    const spanMs = last.atMs - first.atMs
    return spanMs < MIN_SPAN_MS ? null : ((last.tokens - first.tokens) * 1000) / spanMs
  }

  const flush = () => {
    cancel?.()
    cancel = null
    if (text === '') return
    const batch = text
    text = ''
    onBatch(batch, generatedTokens, tokensPerSecond())
  }

  return {
    add(added, tokenCount) {
      text += added
      generatedTokens += tokenCount
      marks.push({ atMs: time.nowMs(), tokens: generatedTokens })
      cancel ??= time.after(FRAME_MS, flush)
    },
    flush,
  }
}
