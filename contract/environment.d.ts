/** The few globals that all three processes have and the plain ECMAScript library does not declare. */
declare class AbortController {
  readonly signal: import('./rpc.ts').AbortSignalLike
  abort(): void
}
declare function structuredClone<T>(value: T): T
declare function queueMicrotask(callback: () => void): void
declare class TextEncoder {
  encode(text: string): Uint8Array
}
declare class TextDecoder {
  constructor(encoding: 'utf-8', options: { fatal: boolean })
  decode(bytes: Uint8Array): string
}
