/**
 * The command `tern`: parses arguments, runs one command, turns its end into an exit code.
 * Exit codes: 0 done, 1 error, 2 wrong usage, 130 after Ctrl-C (143 after SIGTERM, 129 after SIGHUP).
 * Speaks to the engine through its contract only; every command is a file in cli/.
 */
import { Command, CommanderError } from 'commander'
import { TernError } from '../../contract/errors.ts'
import packageJson from '../../package.json' with { type: 'json' }
import { powerMachine } from '../host/power-machine.ts'
import type { PowerMachine } from '../services/telemetry/ports.ts'
import { bench, defineBench } from './bench.ts'
import { chat, defineChat } from './chat.ts'
import { type CommandContext, type ConnectedEngine, UsageError } from './command-context.ts'
import { convert, defineConvert } from './convert.ts'
import { defineEval, evaluate } from './eval.ts'
import { defineFpga, estimateFpga } from './fpga.ts'
import { defineInfo, info } from './info.ts'
import { cancelled, watchInterrupts } from './interrupts.ts'
import { defineModels, getModelFromHub } from './models.ts'
import { reportError } from './report-error.ts'
import { defineRun, run } from './run.ts'
import { defineSelfTest, selfTest } from './selftest.ts'
import { defineServe, serve } from './serve.ts'
import { printable, type Terminal, warn } from './terminal.ts'
import { defineWatch, watch } from './watch.ts'

const EXAMPLES = `
Examples:
  tern chat                                  talk to the model that ships with Tern
  tern run -p "Tell me a story."             one prompt, one reply
  tern convert MMfreeLM-1.3B 1.3b.gguf       a Hugging Face folder to one file
  tern run -m 1.3b.gguf --raw -p "The sea"   another model
  tern help run                              all options of a command

Exit codes: 0 done, 1 error, 2 wrong usage, 130 after Ctrl-C. Errors and progress go to stderr.
TERN_DEBUG=1 shows where an error came from. NO_COLOR is respected.
`

/** What somebody reads who writes `tern run "Hello"`. */
const MISPLACED_PROMPT = /too many arguments for 'run'\..*/
const PROMPT_PLACE = 'Unknown arguments: the prompt goes with -p TEXT.'

/** Columns: longer lines are hard to read. */
const HELP_WIDTH = 110

export interface MainOptions {
  /** The process's own streams by default. */
  terminal?: Terminal
  /** Called when a stopped command goes on for too long; ends this process by default. */
  endProcess?(): void
  /** Sees to compiled kernels: quick when they are there. */
  compileKernels?(): Promise<void>
  /** This machine by default. */
  powerMachine?: PowerMachine
  /** The engine in this process by default. */
  connectEngine?(): Promise<ConnectedEngine>
}

/** Runs one command; resolves with the exit code. */
export async function main(argv: readonly string[], options: MainOptions = {}): Promise<number> {
  const terminal: Terminal = options.terminal ?? process
  const interrupts = watchInterrupts(terminal, options.endProcess)
  const context: CommandContext = {
    terminal,
    interrupts,
    powerMachine: options.powerMachine ?? powerMachine,
    wantsJson: false,
    prepareBackend: backend => (backend === 'reference' ? Promise.resolve() : kernelsCompiled(options.compileKernels)),
    async connectEngine(backend) {
      await context.prepareBackend(backend)
      return (options.connectEngine ?? connectEngineInThisProcess)()
    },
  }
  let exitCode = 0
  const program = createProgram(context, code => {
    exitCode = code
  })
  try {
    await program.parseAsync(argv, { from: 'user' })
    return interrupts.hasOutputFailed ? 1 : exitCode
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
    if (interrupts.signal.aborted) {
      // Whoever closed the pipe does not want to hear of it, and a failed output was told.
      if (interrupts.exitCode > 1) reportError(cancelled(), context)
      return interrupts.exitCode
    }
    if (error instanceof UsageError) {
      warn(terminal, error.message)
      return 2
    }
    reportError(error, context)
    return 1
  } finally {
    interrupts.dispose()
  }
}

function createProgram(context: CommandContext, setExitCode: (code: number) => void): Command {
  const program = new Command('tern')
    .description('Runs MatMul-free language models on your own machine, offline.')
    .version(packageJson.version, '-V, --version', 'print the version')
    .configureHelp({ helpWidth: Math.min(context.terminal.stdout.columns ?? HELP_WIDTH, HELP_WIDTH) })
    .helpOption('-h, --help', 'print help')
    .helpCommand('help [command]', 'print help of a command')
    .configureOutput({
      writeOut: text => void context.terminal.stdout.write(text),
      writeErr: text => void context.terminal.stderr.write(text),
      outputError: (message, write) =>
        write(printable(message.replace(/^error: /, 'tern: ').replace(MISPLACED_PROMPT, PROMPT_PLACE))),
    })
    .showHelpAfterError('Try "tern --help", or "tern help <command>".')
    .addHelpText('after', EXAMPLES)
    .exitOverride()
  const withContext =
    <Args extends unknown[]>(command: (...args: [...Args, CommandContext]) => Promise<number>) =>
    async (...args: Args): Promise<void> =>
      setExitCode(await command(...args, context))
  defineChat(program, withContext(chat))
  defineRun(program, withContext(run))
  defineConvert(program, withContext(convert))
  defineModels(program, withContext(getModelFromHub))
  defineInfo(program, withContext(info))
  defineFpga(program, withContext(estimateFpga))
  defineEval(program, withContext(evaluate))
  defineBench(program, withContext(bench))
  defineServe(program, withContext(serve))
  defineSelfTest(program, withContext(selfTest))
  defineWatch(program, withContext(watch))
  return program
}

/** Loaded when a command needs it, so that help and usage errors are instant. */
async function connectEngineInThisProcess() {
  const { connectEngineInProcess } = await import('../engine-process/in-process.ts')
  return connectEngineInProcess()
}

async function kernelsCompiled(compileKernels: MainOptions['compileKernels']): Promise<void> {
  try {
    await compileKernels?.()
  } catch (cause) {
    throw new TernError({
      code: 'backend-unavailable',
      message: 'The WebAssembly kernels cannot be compiled.',
      actual: String(cause instanceof Error ? cause.message : cause).split('\n', 1)[0]!,
      remedy: 'Run npm ci in the folder of Tern, or choose --backend reference, which is slow.',
    })
  }
}
