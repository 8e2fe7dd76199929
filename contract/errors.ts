/**
 * Errors as data. A closed list of codes: the engine's (a test holds the two lists equal) and the host's own.
 */
import * as v from 'valibot'

export const ENGINE_CODES = [
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

export const HOST_CODES = [
  /** The engine process ended while it worked; the host restarts it. */
  'engine-lost',
  'chat-not-found',
  'message-not-found',
  'chat-busy',
  /** Another Tern uses the same data folder. */
  'store-busy',
  /** The data folder cannot be used. */
  'store-unavailable',
  /** A file of the data folder is damaged. */
  'store-damaged',
  /** A server refused a file, or gave something else. */
  'download-failed',
  /** The other side sent something that the schema refuses. */
  'protocol-violation',
  'connection-closed',
] as const

const errorCodeSchema = v.picklist([...ENGINE_CODES, ...HOST_CODES])
export type TernErrorCode = v.InferOutput<typeof errorCodeSchema>

export const errorDataSchema = v.object({
  code: errorCodeSchema,
  /** One sentence for people. */
  message: v.string(),
  expected: v.optional(v.string()),
  actual: v.optional(v.string()),
  /** What the user can do: one sentence. */
  remedy: v.optional(v.string()),
})
export type TernErrorData = v.InferOutput<typeof errorDataSchema>

/** An error that crossed a process, or will. */
export class TernError extends Error {
  override readonly name = 'TernError'
  readonly data: TernErrorData

  constructor(data: TernErrorData) {
    super(data.message)
    this.data = data
  }

  get code(): TernErrorCode {
    return this.data.code
  }
}

/** Any thrown value as error data. Errors that carry a known `code` keep it; all others become 'internal'. */
export function toErrorData(thrown: unknown): TernErrorData {
  if (thrown instanceof TernError) return thrown.data
  if (thrown instanceof Error && 'code' in thrown) {
    const parsed = v.safeParse(errorDataSchema, {
      code: thrown.code,
      message: thrown.message,
      expected: 'expected' in thrown ? thrown.expected : undefined,
      actual: 'actual' in thrown ? thrown.actual : undefined,
      remedy: 'remedy' in thrown ? thrown.remedy : undefined,
    })
    if (parsed.success) return parsed.output
  }
  return { code: 'internal', message: thrown instanceof Error ? thrown.message : String(thrown) }
}
