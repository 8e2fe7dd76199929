/** What every attack test asks: a typed error of the right code, soon, without much memory. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect } from 'vitest'
import { EngineError, type EngineErrorCode } from '../../engine/errors.ts'

/** The error itself. A crash, a hang, an untyped error or another code fails the test. */
export async function expectRefusal(
  attempt: () => Promise<unknown>,
  ...codes: EngineErrorCode[]
): Promise<EngineError> {
  let error: unknown
  try {
    await attempt()
  } catch (caught) {
    error = caught
  }
  if (!(error instanceof EngineError)) throw error ?? new Error('the hostile file was accepted')
  expect(codes, error.message).toContain(error.code)
  return error
}

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

/**
 * Bytes that an attempt allocates at most, heap and buffers together. Garbage is collected before, not after: what was
 * allocated and dropped counts as well, as far as no collection came between.
 */
export async function allocatedBytes(attempt: () => Promise<unknown>): Promise<number> {
  // What the tests before have left would be counted otherwise, or hide what this one takes. `external` holds the buffers.
  const used = () => {
    const { heapUsed, external } = process.memoryUsage()
    return heapUsed + external
  }
  collectGarbage()
  const before = used()
  await attempt()
  return used() - before
}

export const MIB = 2 ** 20
