/**
 * A SentencePiece `tokenizer.model` (protobuf) as an equivalent Hugging Face tokenizer.json.
 */
import { EngineError } from '../errors.ts'

/** Throws `tokenizer-invalid`, `tokenizer-unsupported`. */
export function sentencePieceToTokenizerJson(_bytes: Uint8Array): unknown {
  throw new EngineError('internal', 'not yet written')
}
