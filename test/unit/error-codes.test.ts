/** The engine's errors keep their codes when they cross to another process. */
import { expect, it } from 'vitest'
import { ENGINE_CODES, HOST_CODES, toErrorData } from '../../contract/errors.ts'
import { ENGINE_ERROR_CODES, EngineError } from '../../engine/errors.ts'

it('the contract knows exactly the codes of the engine, in its order', () => {
  expect(ENGINE_CODES).toEqual(ENGINE_ERROR_CODES)
})

it('no code is both the engine’s and the host’s', () => {
  expect(HOST_CODES.filter(code => (ENGINE_CODES as readonly string[]).includes(code))).toEqual([])
})

it('an engine error becomes data with all that it says', () => {
  const error = new EngineError('file-truncated', 'Too short.', {
    expected: '8 bytes',
    actual: '4',
    remedy: 'Copy it again.',
  })
  expect(toErrorData(error)).toEqual({
    code: 'file-truncated',
    message: 'Too short.',
    expected: '8 bytes',
    actual: '4',
    remedy: 'Copy it again.',
  })
})

it('any other thrown value becomes "internal", an unknown code of Node included', () => {
  expect(toErrorData(new Error('boom'))).toEqual({ code: 'internal', message: 'boom' })
  expect(toErrorData(Object.assign(new Error('boom'), { code: 'ENOENT' })).code).toBe('internal')
  expect(toErrorData('text')).toEqual({ code: 'internal', message: 'text' })
})
