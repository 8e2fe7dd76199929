/**
 * Which model a state belongs to: a hash of everything that decides its numbers. Not of the file: two files with the
 * same tensors, but another description or order, are the same model. Reading a whole model takes a second or so per
 * gigabyte, so this is computed when the first state is written or read, never at load.
 */
import type { CreateSha256 } from '../engine-environment.ts'
import type { ModelSource } from '../model/source.ts'

/** SHA-256, hexadecimal, of model and tokenizer; the latter is null for a model without one. */
export interface ModelIdentity {
  modelSha256: string
  tokenizerSha256: string | null
}

const READ_BYTES = 4 * 2 ** 20

/**
 * SHA-256, hexadecimal, of each tensor in the order of its name: a line of JSON `[name, type, shape, byteLength]`, a
 * line feed, the bytes as stored; before them the line of JSON `[layerCount, stateWidth, rmsNormEpsilon]`.
 */
export async function hashModel(source: ModelSource, createSha256: CreateSha256): Promise<string> {
  const { layerCount, stateWidth, rmsNormEpsilon } = source.config
  const sha256 = createSha256()
  const line = (value: unknown): void => sha256.update(new TextEncoder().encode(`${JSON.stringify(value)}\n`))
  line([layerCount, stateWidth, rmsNormEpsilon])
  const tensors = source.tensors().toSorted((a, b) => (a.name < b.name ? -1 : 1))
  for (const { name, type, shape, byteLength } of tensors) {
    line([name, type, shape, byteLength])
    for (let offset = 0; offset < byteLength; offset += READ_BYTES) {
      sha256.update(await source.readTensor(name, offset, Math.min(READ_BYTES, byteLength - offset)))
    }
  }
  return sha256.digestHex()
}

/** SHA-256, hexadecimal, of the tokenizer's JSON text. */
export function hashTokenizer(tokenizerJson: string, createSha256: CreateSha256): string {
  const sha256 = createSha256()
  sha256.update(new TextEncoder().encode(tokenizerJson))
  return sha256.digestHex()
}
