/** The check that stands before every use of a token id as an index. */
import { EngineError } from '../errors.ts'

/** Throws `token-out-of-range` unless every id is a whole number from 0 to V - 1. */
export function checkTokenIds(tokens: ArrayLike<number>, vocabularySize: number): void {
  for (let t = 0; t < tokens.length; t++) {
    const id = tokens[t]
    if (Number.isInteger(id) && id >= 0 && id < vocabularySize) continue
    throw new EngineError('token-out-of-range', `Token id ${id} is not in the model's vocabulary.`, {
      expected: `a whole number from 0 to ${vocabularySize - 1}`,
      actual: `${id} at position ${t}`,
      remedy: "Use the model's own tokenizer; the file may pair a tokenizer with the wrong model.",
    })
  }
}
