/**
 * The engine's errors: a closed list of codes, what was expected and found, and what the user can do.
 * They cross processes as data (see contract/errors.ts, whose list of codes a test holds equal to this one).
 */
export const ENGINE_ERROR_CODES = [
  'file-not-found',
  'file-unreadable',
  'file-truncated',
  'disk-full',
  'format-unknown',
  'format-invalid',
  'format-unsupported',
  'limit-exceeded',
  'config-invalid',
  'config-unsupported',
  'tensor-missing',
  'tensor-shape-mismatch',
  'tensor-type-unsupported',
  'tensor-not-finite',
  'tokenizer-invalid',
  'tokenizer-unsupported',
  'template-invalid',
  'template-limit-exceeded',
  'token-out-of-range',
  'logits-not-finite',
  'state-mismatch',
  'state-corrupt',
  'sampling-invalid',
  'backend-unavailable',
  'backend-failed',
  'device-lost',
  'out-of-memory',
  'session-not-found',
  'session-busy',
  'model-not-loaded',
  'cancelled',
  'invalid-argument',
  'internal',
] as const

export type EngineErrorCode = (typeof ENGINE_ERROR_CODES)[number]

export interface EngineErrorDetails {
  /** What a valid input would have had, in words or figures with units. */
  expected?: string
  /** What was found instead. */
  actual?: string
  /** What the user can do about it: one sentence. */
  remedy?: string
  cause?: unknown
}

export class EngineError extends Error {
  override readonly name = 'EngineError'
  readonly code: EngineErrorCode
  readonly expected: string | undefined
  readonly actual: string | undefined
  readonly remedy: string | undefined

  constructor(code: EngineErrorCode, message: string, details: EngineErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.code = code
    this.expected = details.expected
    this.actual = details.actual
    this.remedy = details.remedy
  }
}

/** Thrown when a cancel signal fires: within one token in decode, within one chunk in prefill. */
export const cancelled = (): EngineError => new EngineError('cancelled', 'Cancelled.')
