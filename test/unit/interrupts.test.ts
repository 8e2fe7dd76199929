/** What ends a command before its time, with the clock of the test and without the end of its process. */
import { PassThrough } from 'node:stream'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { type Interrupts, watchInterrupts } from '../../main/cli/interrupts.ts'
import type { Terminal } from '../../main/cli/terminal.ts'

let terminal: Terminal
let interrupts: Interrupts
let told: string
const endProcess = vi.fn()
beforeEach(() => {
  vi.useFakeTimers()
  endProcess.mockClear()
  told = ''
  const stderr = new PassThrough({ encoding: 'utf8' }).on('data', text => {
    told += text
  })
  terminal = { stdin: new PassThrough(), stdout: new PassThrough(), stderr } as unknown as Terminal
  interrupts = watchInterrupts(terminal, endProcess)
})
afterEach(() => {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.removeAllListeners(signal)
  vi.useRealTimers()
  process.exitCode = undefined
})

describe('a signal', () => {
  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const)('%s asks the work to stop, with exit code %i', (signal, exitCode) => {
    expect(() => interrupts.throwIfStopped()).not.toThrow()
    process.emit(signal)
    expect(interrupts.signal.aborted).toBe(true)
    expect(interrupts.exitCode).toBe(exitCode)
    expect(() => interrupts.throwIfStopped()).toThrow('Cancelled.')
    expect(endProcess).not.toHaveBeenCalled()
  })

  it('ends the process when the work does not stop', () => {
    process.emit('SIGTERM')
    vi.advanceTimersByTime(4_900)
    expect(endProcess).not.toHaveBeenCalled()
    vi.advanceTimersByTime(200)
    expect(endProcess).toHaveBeenCalledWith('SIGTERM', 143)
  })

  it('ends the process when something hangs after the work', () => {
    process.emit('SIGINT')
    interrupts.dispose()
    vi.advanceTimersByTime(250)
    expect(endProcess).toHaveBeenCalledWith('SIGINT', 130)
  })

  it('that comes twice ends the process at once; twice in one moment counts once', () => {
    process.emit('SIGINT')
    process.emit('SIGINT')
    expect(endProcess).not.toHaveBeenCalled()
    vi.advanceTimersByTime(200)
    process.emit('SIGINT')
    expect(endProcess).toHaveBeenCalledOnce()
  })

  it('calls off a wait that nothing else can', async () => {
    const waiting = interrupts.untilStopped(new Promise(() => {}))
    process.emit('SIGTERM')
    await expect(waiting).rejects.toMatchObject({ code: 'cancelled' })
    await expect(interrupts.untilStopped(Promise.resolve(1))).rejects.toMatchObject({ code: 'cancelled' })
  })

  it('after the command is none of its business', async () => {
    expect(await interrupts.untilStopped(Promise.resolve(1))).toBe(1)
    interrupts.dispose()
    expect(process.listenerCount('SIGTERM')).toBe(0)
    vi.advanceTimersByTime(10_000)
    expect(endProcess).not.toHaveBeenCalled()
  })
})

describe('an output', () => {
  const fail = (code: string) => terminal.stdout.emit('error', Object.assign(new Error(code), { code }))

  it('whose reader has gone stops the work without a word', () => {
    fail('EPIPE')
    expect(interrupts).toMatchObject({ exitCode: 0, hasOutputFailed: false })
    expect(interrupts.signal.aborted).toBe(true)
    expect(told).toBe('')
  })

  it.each([
    ['ENOSPC', 'there is no room left'],
    ['EIO', 'EIO'],
  ])('that fails with %s stops it with one line', (code, reason) => {
    fail(code)
    fail(code)
    expect(interrupts).toMatchObject({ exitCode: 1, hasOutputFailed: true })
    expect(process.exitCode).toBe(1)
    expect(told).toBe(`tern: The output cannot be written: ${reason}.\n`)
  })
})
