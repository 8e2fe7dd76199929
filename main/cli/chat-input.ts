/** What the user says in `tern chat`: lines of a terminal or of a pipe as messages. */
import { createInterface, type Interface } from 'node:readline'
import { Writable } from 'node:stream'
import { fileError } from './input-files.ts'
import { dim, type Terminal } from './terminal.ts'

export interface ChatInput {
  readonly isInteractive: boolean
  /** 0 after Ctrl-D or the end of a pipe, 130 after Ctrl-C. */
  readonly exitCode: number
  /** The next message, shown a prompt for; null at the end. Rejects when stdin cannot be read. */
  next(): Promise<string | null>
  /** Until called with null, Ctrl-C calls `stop` and typing is not echoed into the reply. */
  whileReplying(stop: (() => void) | null): void
  close(): void
}

const PROMPT = '› '
/** Asks the terminal to say where pasted text begins and ends. */
const BRACKETED_PASTE = { on: '\x1b[?2004h', off: '\x1b[?2004l' }

/** `"""` joins several lines; lines that are pasted together are one message. */
export function openChatInput(terminal: Terminal, isInteractive: boolean): ChatInput {
  const editor = isInteractive ? openEditor(terminal) : openPipe(terminal)
  const { lines } = editor
  let stopReply: (() => void) | null = null
  let isLeaving = false
  let exitCode = 0

  // Pasted lines are one message, not one each.
  let pasted: string[] = []
  const messages = createQueue<string>()
  lines.on('line', line => {
    isLeaving = false
    pasted.push(line)
    if (!editor.isPasting()) messages.add(pasted.splice(0).join('\n'))
  })
  lines.on('close', () => messages.end())
  terminal.stdin.on('error', error => messages.fail(fileError(error, 'Cannot read stdin.')))
  lines.on('SIGINT', () => {
    if (stopReply !== null) {
      stopReply()
      stopReply = null
    } else if (lines.line !== '' || pasted.length > 0) {
      pasted = []
      lines.write(null, { ctrl: true, name: 'e' })
      lines.write(null, { ctrl: true, name: 'u' })
    } else if (isLeaving) {
      exitCode = 130
      lines.close()
    } else {
      isLeaving = true
      terminal.stdout.write(`\n${dim('Ctrl-C again, or Ctrl-D, leaves.', terminal.stdout)}\n`)
      lines.prompt()
    }
  })
  const nextLine = (prompt: string): Promise<string | null> => {
    if (isInteractive && messages.isWaiting()) {
      lines.setPrompt(prompt)
      lines.prompt(true)
    }
    return messages.next()
  }

  return {
    isInteractive,
    get exitCode() {
      return exitCode
    },
    async next() {
      const first = await nextLine(PROMPT)
      if (first === null || !first.trimStart().startsWith('"""')) return first
      const block = [first.trimStart().slice(3)]
      while (!block.at(-1)!.trimEnd().endsWith('"""')) {
        const line = await nextLine('… ')
        if (line === null) return block.join('\n').trim()
        block.push(line)
      }
      return block.join('\n').trimEnd().slice(0, -3).trim()
    },
    whileReplying(stop) {
      stopReply = stop
      editor.mute(stop !== null)
    },
    close() {
      messages.end()
      lines.close()
      editor.close()
    },
  }
}

/** Where lines come from. */
interface LineSource {
  readonly lines: Interface
  isPasting(): boolean
  mute(isMuted: boolean): void
  close(): void
}

function openPipe(terminal: Terminal): LineSource {
  const lines = createInterface({ input: terminal.stdin, terminal: false })
  return { lines, isPasting: () => false, mute() {}, close() {} }
}

/** A line editor with history; what is typed while it is muted does not show. */
function openEditor(terminal: Terminal): LineSource {
  const { stdin, stdout } = terminal
  let isMuted = false
  let isPasting = false
  const size = () => ({ columns: stdout.columns, rows: stdout.rows })
  const echo = new Writable({
    write(chunk, _encoding, done) {
      if (!isMuted) stdout.write(chunk)
      done()
    },
  })
  // The line editor asks its output for the width.
  const output = Object.assign(echo, { ...size(), isTTY: true })
  const lines = createInterface({ input: stdin, output, terminal: true, prompt: PROMPT, historySize: 1000 })
  const onResize = () => {
    Object.assign(output, size())
    output.emit('resize')
  }
  stdout.on('resize', onResize)
  stdout.write(BRACKETED_PASTE.on)
  stdin.on('keypress', (_text, { name }: { name?: string }) => {
    if (name === 'paste-start') isPasting = true
    else if (name === 'paste-end') isPasting = false
  })
  let isClosed = false
  lines.on('close', () => stdout.write(isClosed ? BRACKETED_PASTE.off : `${BRACKETED_PASTE.off}\n`))
  return {
    lines,
    isPasting: () => isPasting,
    mute(muted) {
      isMuted = muted
    },
    close() {
      isClosed = true
      stdout.off('resize', onResize)
    },
  }
}

/** Items that come when they want, taken one at a time; after the end null, after a failure its error. */
function createQueue<T>() {
  const waiting: T[] = []
  let wake: (() => void) | null = null
  let isEnded = false
  let failure: Error | null = null
  return {
    isWaiting: () => waiting.length === 0 && !isEnded,
    add(item: T) {
      waiting.push(item)
      wake?.()
    },
    end() {
      isEnded = true
      wake?.()
    },
    fail(error: Error) {
      failure = error
      wake?.()
    },
    async next(): Promise<T | null> {
      while (waiting.length === 0 && !isEnded && failure === null) {
        await new Promise<void>(resolve => {
          wake = resolve
        })
      }
      if (waiting.length === 0 && failure !== null) throw failure
      return waiting.shift() ?? null
    },
  }
}
