/**
 * `tern chat`: a conversation in the terminal, or line by line through a pipe. History lives for the session only;
 * /save writes it to a file.
 */
import { homedir } from 'node:os'
import type { Command } from 'commander'
import type { EngineMemory } from '../../contract/words/memory.ts'
import type { TemplateMessage } from '../../contract/words/message.ts'
import type { LoadedModel } from '../../contract/words/model.ts'
import { type ChatInput, openChatInput } from './chat-input.ts'
import type { CommandContext } from './command-context.ts'
import { type Conversation, openConversation, type SeededReply } from './conversation.ts'
import { loadModel, modelPath } from './model.ts'
import { addModelOptions, addSamplingOptions, type ModelOptions, type SamplingOptions, samplingOf } from './options.ts'
import { openOutput, outputPath } from './output-files.ts'
import { reportError } from './report-error.ts'
import { dim, formatBytes, formatMs, formatRate, table, warn, writeText } from './terminal.ts'

interface ChatOptions extends ModelOptions, SamplingOptions {
  system?: string
}

const COMMANDS = `  /new              start a new conversation
  /regenerate       another reply to the last message
  /stats            speed of the last reply, memory
  /save FILE        write the conversation: .json as messages, anything else as Markdown;
                    /save --force FILE replaces a file
  /help             this list
  /quit             leave (or Ctrl-D)
  //TEXT            the message /TEXT
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
    .description(
      'A conversation with a model, in the terminal. In a pipe, every line of stdin is a message,\nunless it is one of the commands.',
    )
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
    const conversation = await openConversation(engine.client, options.system, samplingOf(options))
    const input = openChatInput(terminal, isInteractive)
    interrupts.signal.addEventListener('abort', () => input.close(), { once: true })
    try {
      const stats = async () =>
        statistics(conversation.lastReply(), await engine.client.call('memory', undefined), loaded)
      const save = (rest: string) => saveMessages(rest, conversation.messages, modelPath(options.model), context)
      await talk(conversation, input, { stats, save }, context)
    } finally {
      input.close()
    }
    return interrupts.signal.aborted ? interrupts.exitCode : input.exitCode
  } finally {
    await engine.close()
  }
}

/** Commands that need more than the conversation. */
interface Actions {
  stats(): Promise<string>
  /** `rest` is what follows the command. */
  save(rest: string): Promise<void>
}

async function talk(
  conversation: Conversation,
  input: ChatInput,
  { stats, save }: Actions,
  context: CommandContext,
): Promise<void> {
  const { terminal, interrupts } = context
  const { stdout } = terminal
  const commands: Record<string, (rest: string) => Promise<void> | void> = {
    '/help': () => void stdout.write(COMMANDS),
    '/new': async () => {
      await conversation.restart()
      stdout.write(`${dim('A new conversation.', stdout)}\n`)
    },
    '/regenerate': async () => {
      if (conversation.hasReply()) await replyTo(conversation, true, input, context)
      else warn(terminal, 'there is no reply to replace yet.')
    },
    '/stats': async () => void stdout.write(await stats()),
    '/save': save,
  }
  for (let message = await input.next(); message !== null; message = await input.next()) {
    if (message.trim() === '') continue
    const [, name = '', rest = ''] = /^\s*(\S+)\s*(.*?)\s*$/s.exec(message)!
    const isCommand = name.startsWith('/') && !name.startsWith('//') && !message.includes('\n')
    if (isCommand && (name === '/quit' || name === '/exit')) return
    if (isCommand && Object.hasOwn(commands, name)) await commands[name]!(rest)
    else if (isCommand && input.isInteractive) {
      warn(terminal, `no command ${name}; /help lists them, and // begins a message with /.`)
    } else {
      if (isCommand) warn(terminal, `${name} is no command: the line was taken for a message.`)
      conversation.add(name.startsWith('//') ? message.replace('//', '/') : message)
      await replyTo(conversation, false, input, context)
    }
    if (interrupts.signal.aborted) return
  }
}

/** In a pipe an error ends the chat; on a terminal it goes on. */
async function replyTo(
  conversation: Conversation,
  again: boolean,
  input: ChatInput,
  context: CommandContext,
): Promise<void> {
  const { interrupts, terminal } = context
  const { stdout } = terminal
  const stop = new AbortController()
  const stopReply = () => stop.abort()
  interrupts.signal.addEventListener('abort', stopReply, { once: true })
  input.whileReplying(stopReply)
  try {
    const show = (text: string) => writeText(stdout, text)
    const result = await (again ? conversation.regenerate(stop.signal, show) : conversation.reply(stop.signal, show))
    if (!result.text.endsWith('\n')) stdout.write('\n')
    if (input.isInteractive) stdout.write(`${dim(figures(result), stdout)}\n`)
  } catch (error) {
    if (!input.isInteractive) throw error
    reportError(error, context)
  } finally {
    input.whileReplying(null)
    interrupts.signal.removeEventListener('abort', stopReply)
  }
}

async function saveMessages(
  rest: string,
  messages: readonly TemplateMessage[],
  modelFile: string,
  context: CommandContext,
): Promise<void> {
  const { terminal } = context
  const [, force, given = ''] = /^(--force(?:\s+|$))?(.*)$/s.exec(rest)!
  // No shell has read this line.
  const path = given.replace(/^~(?=[\\/])/, homedir())
  if (path === '') return warn(terminal, 'give a file: /save chat.md')
  const content = path.endsWith('.json')
    ? `${JSON.stringify(messages, null, 2)}\n`
    : messages.map(({ role, content }) => `**${role}**\n\n${content.trim()}\n`).join('\n')
  try {
    const file = await openOutput(await outputPath(path, [modelFile]), force === undefined ? {} : { force: true })
    await file.write(Buffer.from(content))
    await file.finish()
    terminal.stdout.write(`${dim(`Saved to ${path}.`, terminal.stdout)}\n`)
  } catch (error) {
    reportError(error, context)
  }
}

function figures({ stats, finishReason }: SeededReply): string {
  const ends = { 'end-of-text': '', 'stop-string': '', 'max-tokens': ' · cut at --max-tokens', cancelled: ' · stopped' }
  const first = `first token after ${formatMs(stats.ttftMs)}`
  return `${stats.generatedTokens} tokens · ${formatRate(stats.decodeTokensPerSecond)} · ${first}${ends[finishReason]}`
}

function statistics(last: SeededReply | null, memory: EngineMemory, loaded: LoadedModel): string {
  return table([
    ['model', loaded.model.name],
    ['backend', `${loaded.backend.name}: ${loaded.backend.description}`],
    ['last reply', last === null ? 'none yet' : figures(last)],
    ['seed', last === null ? '–' : (last.seed?.toString() ?? 'none: greedy')],
    ['prefill', formatRate(last?.stats.prefillTokensPerSecond ?? null)],
    ['weights', `${formatBytes(memory.weightBytes)}${memory.place === 'gpu' ? ', in GPU memory' : ''}`],
    ['state', `${formatBytes(memory.bytesPerState)}, whatever the length of the conversation`],
    ['scratch', formatBytes(memory.scratchBytes)],
    ['process', memory.processRssBytes === null ? '–' : formatBytes(memory.processRssBytes)],
  ])
}
