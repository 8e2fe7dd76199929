/** `tern serve`: the chat window in a browser of this machine. */
import type { Command } from 'commander'
import type { CommandContext } from './command-context.ts'
import { modelPath } from './model.ts'
import { addModelOptions, backendRequest, type ModelOptions, number } from './options.ts'

interface ServeOptions extends ModelOptions {
  port?: number
  open: boolean
}

const EXAMPLES = `
Listens on 127.0.0.1 only; the printed address carries a secret, so nobody else on this machine can use it.

Examples:
  tern serve
  tern serve --port 8080 --no-open -m mmfreelm-1.3b.gguf
`

export function defineServe(program: Command, run: (options: ServeOptions) => Promise<void>): void {
  const command = program
    .command('serve')
    .summary('open the chat window in a browser')
    .description('Serves the chat window to a browser on this machine, until Ctrl-C.')
    .option('--port <n>', 'port to listen on (default: any free one)', number(0, 65_535, { integer: true }))
    .option('--no-open', 'do not open the browser')
  addModelOptions(command)
    .addHelpText('after', EXAMPLES)
    .action((options: ServeOptions) => run(options))
}

export async function serve(options: ServeOptions, context: CommandContext): Promise<number> {
  await context.prepareBackend(options.backend)
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
