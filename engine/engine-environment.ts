/**
 * What the engine asks of what surrounds it. The engine imports no Node, Electron or DOM: bytes, threads,
 * hashes and turns of the event loop arrive through these interfaces (main/engine-process supplies them).
 */

/** Random access to a file or a buffer. Reads past the end are an error of the caller, checked against `size`. */
export interface ByteSource {
  /** Name for messages; never a promise that a file exists. */
  readonly name: string
  readonly size: number
  /**
   * Returns exactly `length` bytes from `offset`; rejects with `file-truncated` when they are not there. With `into`, of that
   * length, a source may fill and return it (it may lie in shared memory): use what is returned.
   */
  read(offset: number, length: number, into?: Uint8Array): Promise<Uint8Array>
  close(): Promise<void>
}

/** A folder of byte sources: a Hugging Face checkpoint. */
export interface ByteFolder {
  readonly name: string
  list(): Promise<string[]>
  open(fileName: string): Promise<ByteSource>
}

/** Sequential output. `finish` makes the file whole (rename, fsync); `abort` leaves nothing behind. */
export interface ByteSink {
  write(bytes: Uint8Array): Promise<void>
  finish(): Promise<void>
  abort(): Promise<void>
}

/** Structural subset of AbortSignal. */
export interface CancelSignal {
  readonly aborted: boolean
}

/** Lets the event loop run: messages arrive, a cancel can be seen. */
export type YieldToEventLoop = () => Promise<void>

export interface Clock {
  /** Monotonic, milliseconds. */
  nowMs(): number
}

interface Sha256 {
  update(bytes: Uint8Array): void
  digestHex(): string
}
export type CreateSha256 = () => Sha256

/** A running thread that shares memory with its creator; it ends by itself or by `terminate`. */
export interface Thread {
  /** Settles when the thread has loaded and is about to enter its loop. */
  readonly started: Promise<void>
  terminate(): Promise<void>
}
/** Starts `runWasmThread` (engine/backends/wasm/thread.ts) with `init` on another thread. `init` is structured-cloneable. */
export type SpawnThread = (init: unknown) => Thread

export type MaybePromise<T> = T | Promise<T>
