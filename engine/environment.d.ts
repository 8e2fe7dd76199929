/**
 * The few globals that every JavaScript host of the engine has (Node, Electron, browsers, workers) and that the
 * plain ECMAScript library does not declare. Anything that is not here arrives as an argument.
 */
declare class TextEncoder {
  encode(text: string): Uint8Array<ArrayBuffer>
}

declare class TextDecoder {
  constructor(label?: string, options?: { fatal?: boolean; ignoreBOM?: boolean })
  decode(bytes?: ArrayBufferView | ArrayBufferLike, options?: { stream?: boolean }): string
}
