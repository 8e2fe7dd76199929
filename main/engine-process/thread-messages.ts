/** What wasm-thread.ts posts once, when it is about to enter its loop. */
export const THREAD_STARTED = 'started'
