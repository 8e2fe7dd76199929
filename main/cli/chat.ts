/**
 * `tern chat`: a conversation in the terminal, or line by line through a pipe. History lives for the session only;
 * /save writes it to a file.
 */
import { writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { createInterface, type Interface } from 'node:readline'
import { Writable } from 'node:stream'
import type { Command } from 'commander'
import type { EngineApi } from '../../contract/engine-api.ts'
import type { Client } from '../../contract/rpc.ts'
import type { EngineMemory } from '../../contract/words/memory.ts'
import type { TemplateMessage } from '../../contract/words/message.ts'
import type { LoadedModel } from '../../contract/words/model.ts'
import type { Sampling } from '../../contract/words/sampling.ts'
import type { CommandContext } from './command-context.ts'
import { generateReply, type Reply } from './generation.ts'
import { loadModel } from './model.ts'
import { addModelOptions, addSamplingOptions, type ModelOptions, type SamplingOptions, samplingOf } from './options.ts'
import { reportError } from './report-error.ts'
import { fileError } from './run.ts'
import { dim, formatBytes, formatMs, formatRate, type Terminal, table } from './terminal.ts'

interface ChatOptions extends ModelOptions, SamplingOptions {
  system?: string
}

const COMMANDS = `  /new              start a new conversation
  /regenerate       another reply to the last message
  /stats            speed of the last reply, memory
  /save FILE        write the conversation: .json as messages, anything else as Markdown
  /help             this list
  /quit             leave (or Ctrl-D)
  """               begins and ends a message of several lines
`

const EXAMPLES = `
In the conversation:
${COMMANDS}  Ctrl-C            stops the reply; at an empty prompt, twice leaves

Examples:
  tern chat
  tern chat --system "You are a pirate." --temperature 1
  printf 'Hello!\\nWho are you?\\n' | tern chat --greedy
`

export function defineChat(program: Command, run: (options: ChatOptions) => Promise<void>): void {
  const command = program
    .command('chat')
    .summary('talk in the terminal')
    .description('A conversation with a model, in the terminal. In a pipe, every line of stdin is a message.')
    .option('--system <text>', 'system message before the conversation')
  addSamplingOptions(addModelOptions(command))
    .addHelpText('after', EXAMPLES)
    .action((options: ChatOptions) => run(options))
}

export async function chat(options: ChatOptions, context: CommandContext): Promise<number> {
  const { terminal, interrupts } = context
  const isInteractive = terminal.stdin.isTTY === true && terminal.stdout.isTTY === true
  const engine = await context.connectEngine(options.backend)
  try {
    const loaded = await loadModel(engine.client, options, context)
    if (isInteractive) {
      const { name, hasChatTemplate } = loaded.model
      const hint = hasChatTemplate ? '' : ' A base model: it continues text rather than answers.'
      terminal.stdout.write(
        `${dim(`${name} · ${loaded.backend.description}.${hint} /help lists commands.`, terminal.stdout)}\n`,
      )
    }
    const conversation = await openConversation(engine.client, options)
    const input = openInput(terminal, isInteractive)
    interrupts.signal.addEventListener('abort', () => input.close(), { once: true })
    try {
      await talk(conversation, input, loaded, context)
    } finally {
      input.close()
    }
    return interrupts.signal.aborted ? interrupts.exitCode : input.exitCode
  } finally {
    await engine.close()
  }
}

async function talk(
  conversation: Conversation,
  input: Input,
  loaded: LoadedModel,
  context: CommandContext,
): Promise<void> {
  const { terminal, interrupts } = context
  const { stdout } = terminal

  const reply = async (again: boolean) => {
    const stop = new AbortController()
    const stopReply = () => stop.abort()
    interrupts.signal.addEventListener('abort', stopReply, { once: true })
    input.whileReplying(stopReply)
    try {
      const show = (text: string) => void stdout.write(text)
      const result = await (again ? conversation.regenerate(stop.signal, show) : conversation.reply(stop.signal, show))
      if (!result.text.endsWith('\n')) stdout.write('\n')
      if (input.isInteractive) stdout.write(`${dim(figures(result), stdout)}\n`)
    } catch (error) {
      reportError(error, context)
      if (!input.isInteractive) throw error
    } finally {
      input.whileReplying(null)
      interrupts.signal.removeEventListener('abort', stopReply)
    }
  }

  for (let message = await input.next(); message !== null; message = await input.next()) {
    const [command, ...rest] = message.trim().split(/\s+/)
    if (command === '' || command === undefined) continue
    if (!command.startsWith('/') || message.includes('\n')) {
      conversation.add(message)
      await reply(false)
    } else if (command === '/quit' || command === '/exit') return
    else if (command === '/help') stdout.write(COMMANDS)
    else if (command === '/new') {
      await conversation.restart()
      stdout.write(`${dim('A new conversation.', stdout)}\n`)
    } else if (command === '/regenerate') {
      if (conversation.hasReply()) await reply(true)
      else terminal.stderr.write('tern: there is no reply to replace yet.\n')
    } else if (command === '/stats') stdout.write(await conversation.stats(loaded))
    else if (command === '/save') await save(rest.join(' '), conversation.messages, context)
    else terminal.stderr.write(`tern: no command ${command}; /help lists them.\n`)
    if (interrupts.signal.aborted) return
  }
}

async function save(path: string, messages: readonly TemplateMessage[], context: CommandContext): Promise<void> {
  const { terminal } = context
  if (path === '') {
    terminal.stderr.write('tern: give a file: /save chat.md\n')
    return
  }
  const content = path.endsWith('.json')
    ? `${JSON.stringify(messages, null, 2)}\n`
    : messages.map(({ role, content }) => `**${role}**\n\n${content.trim()}\n`).join('\n')
  try {
    await writeFile(resolve(path), content, { flag: 'wx' })
    terminal.stdout.write(`${dim(`Saved to ${path}.`, terminal.stdout)}\n`)
  } catch (cause) {
    const isThere = (cause as NodeJS.ErrnoException).code === 'EEXIST'
    reportError(fileError(cause, isThere ? `${path} exists already.` : `Cannot write ${path}.`), context)
  }
}

interface Conversation {
  readonly messages: readonly TemplateMessage[]
  hasReply(): boolean
  /** The user's next message. */
  add(content: string): void
  reply(signal: AbortSignal, onText: (text: string) => void): Promise<Reply>
  /** Replaces the last reply, from the state before it: nothing is read twice. */
  regenerate(signal: AbortSignal, onText: (text: string) => void): Promise<Reply>
  restart(): Promise<void>
  stats(loaded: LoadedModel): Promise<string>
}

/** A session, the state before its last reply, and the messages. */
async function openConversation(client: Client<EngineApi>, options: ChatOptions): Promise<Conversation> {
  const opening: TemplateMessage[] = options.system === undefined ? [] : [{ role: 'system', content: options.system }]
  const sampling = samplingOf(options)
  let messages = [...opening]
  let sessionId = await client.call('session.create', undefined)
  let beforeReplyId: string | null = null
  let attempt = 0
  let last: Reply | null = null

  const dispose = async (id: string | null) => {
    if (id !== null) await client.call('session.dispose', { sessionId: id })
  }
  const generate = async (signal: AbortSignal, onText: (text: string) => void): Promise<Reply> => {
    const input = { kind: 'messages' as const, messages: [...messages], addGenerationPrompt: true }
    const reply = await generateReply(client, { sessionId, input, sampling: seeded(sampling, attempt) }, signal, onText)
    messages.push({ role: 'assistant', content: reply.text })
    last = reply
    return reply
  }

  return {
    get messages() {
      return messages
    },
    hasReply: () => messages.at(-1)?.role === 'assistant' && beforeReplyId !== null,
    add(content) {
      // A message whose reply failed is replaced, not answered twice.
      if (messages.at(-1)?.role === 'user') messages.pop()
      messages.push({ role: 'user', content })
    },
    async reply(signal, onText) {
      const previousId = beforeReplyId
      beforeReplyId = await client.call('session.clone', { sessionId })
      await dispose(previousId)
      attempt = 0
      return generate(signal, onText)
    },
    async regenerate(signal, onText) {
      messages.pop()
      const previousId = sessionId
      sessionId = await client.call('session.clone', { sessionId: beforeReplyId! })
      await dispose(previousId)
      attempt++
      return generate(signal, onText)
    },
    async restart() {
      await dispose(beforeReplyId)
      await dispose(sessionId)
      beforeReplyId = null
      last = null
      messages = [...opening]
      sessionId = await client.call('session.create', undefined)
    },
    async stats(loaded) {
      return statistics(last, await client.call('memory', undefined), loaded)
    },
  }
}

/** The same seed would repeat the reply that the user wants replaced. */
function seeded(sampling: Sampling, attempt: number): Sampling {
  return sampling.seed === undefined ? sampling : { ...sampling, seed: sampling.seed + attempt }
}

function figures({ stats, finishReason }: Reply): string {
  const ends = { 'end-of-text': '', 'stop-string': '', 'max-tokens': ' · cut at --max-tokens', cancelled: ' · stopped' }
  const first = `first token after ${formatMs(stats.ttftMs)}`
  return `${stats.generatedTokens} tokens · ${formatRate(stats.decodeTokensPerSecond)} · ${first}${ends[finishReason]}`
}

function statistics(last: Reply | null, memory: EngineMemory, loaded: LoadedModel): string {
  return table([
    ['model', loaded.model.name],
    ['backend', `${loaded.backend.name}: ${loaded.backend.description}`],
    ['last reply', last === null ? 'none yet' : figures(last)],
    ['prefill', formatRate(last?.stats.prefillTokensPerSecond ?? null)],
    ['weights', `${formatBytes(memory.weightBytes)}${memory.isGpuMemory ? ', in GPU memory' : ''}`],
    ['state', `${formatBytes(memory.stateBytesPerSession)}, whatever the length of the conversation`],
    ['scratch', formatBytes(memory.scratchBytes)],
    ['process', memory.processRssBytes === null ? '–' : formatBytes(memory.processRssBytes)],
  ])
}

interface Input {
  readonly isInteractive: boolean
  /** 0 after Ctrl-D or the end of a pipe, 130 after Ctrl-C. */
  readonly exitCode: number
  /** The next message, shown a prompt for; null at the end. */
  next(): Promise<string | null>
  /** Until called with null, Ctrl-C calls `stop` and typing is not echoed into the reply. */
  whileReplying(stop: (() => void) | null): void
  close(): void
}

const PROMPT = '› '
/** Asks the terminal to say where pasted text begins and ends. */
const BRACKETED_PASTE = { on: '\x1b[?2004h', off: '\x1b[?2004l' }

/** Lines of a terminal or a pipe as messages; `"""` joins several lines. */
function openInput(terminal: Terminal, isInteractive: boolean): Input {
  let isMuted = false
  let stopReply: (() => void) | null = null
  let isLeaving = false
  let exitCode = 0
  const echo = new Writable({
    write(chunk, _encoding, done) {
      if (!isMuted) terminal.stdout.write(chunk)
      done()
    },
  })
  // The line editor asks its output for the width.
  const output = isInteractive
    ? Object.assign(echo, { columns: terminal.stdout.columns, rows: terminal.stdout.rows, isTTY: true })
    : undefined
  const lines: Interface = createInterface({
    input: terminal.stdin,
    ...(output === undefined ? {} : { output }),
    terminal: isInteractive,
    prompt: PROMPT,
    historySize: 1000,
  })
  const onResize = () => {
    if (output === undefined) return
    Object.assign(output, { columns: terminal.stdout.columns, rows: terminal.stdout.rows })
    output.emit('resize')
  }
  terminal.stdout.on('resize', onResize)

  // Pasted lines are one message, not one each.
  let isPasting = false
  let pasted: string[] = []
  if (isInteractive) {
    terminal.stdout.write(BRACKETED_PASTE.on)
    terminal.stdin.on('keypress', (_text, { name }: { name?: string }) => {
      if (name === 'paste-start') isPasting = true
      else if (name === 'paste-end') isPasting = false
    })
  }

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

  const waiting: string[] = []
  let wake: (() => void) | null = null
  let isClosed = false
  lines.on('line', line => {
    isLeaving = false
    pasted.push(line)
    if (isPasting) return
    waiting.push(pasted.splice(0).join('\n'))
    wake?.()
  })
  lines.on('close', () => {
    if (isInteractive) terminal.stdout.write(BRACKETED_PASTE.off)
    if (isInteractive && !isClosed) terminal.stdout.write('\n')
    isClosed = true
    wake?.()
  })
  const nextLine = async (prompt: string): Promise<string | null> => {
    if (isInteractive && !isClosed && waiting.length === 0) {
      lines.setPrompt(prompt)
      lines.prompt(true)
    }
    while (waiting.length === 0 && !isClosed) {
      await new Promise<void>(resolve => {
        wake = resolve
      })
    }
    return waiting.shift() ?? null
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
      isMuted = stop !== null
    },
    close() {
      terminal.stdout.off('resize', onResize)
      isClosed = true
      lines.close()
    },
  }
}
