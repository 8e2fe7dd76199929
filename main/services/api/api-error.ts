/** Errors as clients of the API expect them. */
import type { TernErrorData } from '../../../contract/errors.ts'

export class ApiError extends Error {
  readonly status: number
  readonly code: string
  readonly param: string | null

  constructor(status: number, code: string, message: string, param: string | null = null) {
    super(message)
    this.status = status
    this.code = code
    this.param = param
  }

  /** In OpenAI's form. */
  get body() {
    const type =
      this.status >= 500 ? 'server_error' : this.status === 429 ? 'rate_limit_exceeded' : 'invalid_request_error'
    return { error: { message: this.message, type, param: this.param, code: this.code } }
  }
}

/** The engine's own errors, with what to do. */
export function apiErrorOf({ code, message, remedy }: TernErrorData): ApiError {
  const words = remedy === undefined ? message : `${message} ${remedy}`
  if (code === 'invalid-argument' || code === 'sampling-invalid' || code === 'token-out-of-range') {
    return new ApiError(400, code, words)
  }
  if (code === 'template-invalid' || code === 'template-limit-exceeded' || code === 'limit-exceeded') {
    return new ApiError(400, code, words)
  }
  if (code === 'model-not-loaded' || code === 'engine-lost' || code === 'connection-closed') {
    return new ApiError(503, code, words)
  }
  return new ApiError(500, code, words)
}
