/**
 * Reading tokens in chunks: the one place where a prompt is cut, a cancel is seen between two chunks, progress is told and
 * the event loop gets its turn.
 */
import type { RunnerCapabilities, StateHandle, WantedLogits } from './backends/backend.ts'
import type { CancelSignal, MaybePromise, YieldToEventLoop } from './engine-environment.ts'
import { cancelled } from './errors.ts'
import type { Sequence, Sequences } from './sequences.ts'
import type { Turns } from './turns.ts'

export interface ReadingOptions {
  want: WantedLogits
  /**
   * Gets the logits: [T, V] of each chunk for 'all', once [1, V] of the last token for 'last'. A view that ends with the
   * callback.
   */
  onLogits?: (logits: Float32Array, firstToken: number, tokenCount: number) => MaybePromise<void>
  /** Tokens that the state has read, after each chunk. */
  onProgress?: (tokensDone: number) => MaybePromise<void>
  yieldToEventLoop?: YieldToEventLoop
  signal?: CancelSignal
}

/** Where chunks go; `take` runs before anything else uses the device. */
export interface ChunkReader {
  readonly capabilities: Pick<RunnerCapabilities, 'chunkTokens'>
  readChunk(
    tokens: readonly number[],
    want: WantedLogits,
    take: (logits: Float32Array) => MaybePromise<void>,
  ): Promise<void>
}

/** Throws what the chunks throw, and `cancelled`: what the state has read then is not told. */
export async function readTokens(
  reader: ChunkReader,
  tokens: ArrayLike<number>,
  { want, onLogits, onProgress, yieldToEventLoop, signal }: ReadingOptions,
): Promise<void> {
  for (let first = 0; first < tokens.length; ) {
    if (signal?.aborted) throw cancelled()
    // A device may be lost between two chunks: the next one may have shorter ones.
    const count = Math.min(reader.capabilities.chunkTokens(want), tokens.length - first)
    const chunk = Array.from({ length: count }, (_, t) => tokens[first + t])
    const start = first
    first += count
    const wanted = want === 'last' && first < tokens.length ? 'none' : want
    await reader.readChunk(chunk, wanted, logits => onLogits?.(logits, start, count))
    await onProgress?.(first)
    await yieldToEventLoop?.()
  }
}

/** A sequence of a loaded model as a place for chunks: each is a turn of its own. */
export function chunksInTurns(
  { sequences, turns }: { sequences: Sequences; turns: Turns },
  sequence: Sequence,
  signal?: CancelSignal,
): ChunkReader {
  return {
    get capabilities() {
      return sequences.capabilities
    },
    readChunk: (tokens, want, take) =>
      turns.exclusive(async () => {
        const logits = await sequences.readChunk(sequence, tokens, want, signal)
        if (logits) await take(logits)
      }, signal),
  }
}

/** A bare runner as a place for chunks, for whoever has it to himself. */
export function chunksOf(
  runner: {
    readonly capabilities: RunnerCapabilities
    readChunk(state: StateHandle, tokens: ArrayLike<number>, want: WantedLogits): Promise<Float32Array | null>
  },
  state: StateHandle,
): ChunkReader {
  return {
    capabilities: runner.capabilities,
    async readChunk(tokens, want, take) {
      const logits = await runner.readChunk(state, tokens, want)
      if (logits) await take(logits)
    },
  }
}
