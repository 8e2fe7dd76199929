/** `tern serve`: the chat window in a browser of this machine. */
import { type Command, InvalidArgumentError } from 'commander'
import type { CommandContext } from './command-context.ts'
import { modelPath } from './model.ts'
import { addModelOptions, backendRequest, type ModelOptions, number } from './options.ts'

interface ServeOptions extends ModelOptions {
  port?: number
  open: boolean
  api?: true
  /** true: as if it were not given. */
  token?: string | boolean
  allowOrigin?: string[]
}

const EXAMPLES = `
Listens on 127.0.0.1 only; the printed address carries a secret, so nobody else on this machine can use it.

Examples:
  tern serve
  tern serve --port 8080 --no-open -m mmfreelm-1.3b.gguf
  tern serve --api --port 11500            the local API alone (docs/api.md), without a window
`

export function defineServe(program: Command, run: (options: ServeOptions) => Promise<void>): void {
  const command = program
    .command('serve')
    .summary('open the chat window in a browser, or serve the local API')
    .description('Serves the chat window to a browser on this machine, until Ctrl-C.')
    .option('--port <n>', 'port to listen on (default: any free one)', number(0, 65_535, { integer: true }))
    .option('--no-open', 'do not open the browser')
    .option('--api', 'serve an OpenAI-compatible API instead of the window')
    .option('--token <text>', 'of the API: what clients send as their key (default: a new one each time)', someToken)
    .option('--no-token', 'of the API: ask for no token')
    .option('--allow-origin <origin>', 'of the API: a web page that may use it (repeatable)', someOrigins)
  addModelOptions(command)
    .addHelpText('after', EXAMPLES)
    .action((options: ServeOptions) => run(options))
}

export async function serve(options: ServeOptions, context: CommandContext): Promise<number> {
  await context.prepareBackend(options.backend)
  if (options.api === true) return serveApi(options, context)
  const [{ runBrowserShell }, { ensureWindow }, { endWithNpm }] = await Promise.all([
    import('../browser-shell/browser-shell.ts'),
    import('../browser-shell/window-bundle.ts'),
    import('../browser-shell/end-with-npm.ts'),
  ])
  endWithNpm()
  await ensureWindow()
  await runBrowserShell({
    modelPath: modelPath(options.model),
    ...backendRequest(options),
    open: options.open,
    ...(options.port === undefined ? {} : { port: options.port }),
  })
  return context.interrupts.signal.aborted ? context.interrupts.exitCode : 0
}

/** Short ones can be guessed by another program. */
const MIN_TOKEN_CHARACTERS = 8

const someToken = (text: string): string => {
  if (!/^[\x21-\x7e]+$/.test(text) || text.length < MIN_TOKEN_CHARACTERS) {
    throw new InvalidArgumentError(`Expected ${MIN_TOKEN_CHARACTERS} or more characters without spaces.`)
  }
  return text
}

const someOrigins = (text: string, before: string[] = []): string[] => {
  if (!/^https?:\/\/[^/\s*]+$/.test(text))
    throw new InvalidArgumentError('Expected an origin such as http://localhost:3000.')
  return [...before, text]
}

async function serveApi(options: ServeOptions, context: CommandContext): Promise<number> {
  const { terminal, interrupts } = context
  const { startApi } = await import('../browser-shell/api.ts')
  const host = await startApi({
    modelPath: modelPath(options.model),
    ...backendRequest(options),
    port: options.port ?? 0,
    ...(options.token === undefined || options.token === true
      ? {}
      : { token: options.token === false ? null : options.token }),
    origins: options.allowOrigin ?? [],
  })
  try {
    await host.ready()
    terminal.stdout.write(`Tern’s API is at ${host.url}  (Ctrl-C stops it)\n`)
    if (host.token !== null) terminal.stdout.write(`Its key is ${host.token}\n`)
    await new Promise<void>(resolve => {
      if (interrupts.signal.aborted) resolve()
      else interrupts.signal.addEventListener('abort', () => resolve())
    })
    return interrupts.exitCode
  } finally {
    await host.close()
  }
}
