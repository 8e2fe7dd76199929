/** `tern selftest`: does a backend of this machine compute what it should? */
import type { Command } from 'commander'
import type { EngineApi } from '../../contract/engine-api.ts'
import type { StreamEvent } from '../../contract/rpc.ts'
import type { BackendInfo } from '../../contract/words/backend.ts'
import type { CommandContext } from './command-context.ts'
import { follow, modelPath } from './model.ts'
import { addModelOptions, backendRequest, type ModelOptions } from './options.ts'
import { formatMs, startProgress, table, writeJson } from './terminal.ts'

interface SelfTestOptions extends ModelOptions {
  json?: true
}
type Check = Omit<Extract<StreamEvent<EngineApi, 'selftest'>, { kind: 'check' }>, 'kind'>

const EXAMPLES = `
Every single operation with awkward shapes and numbers, then logits, greedy tokens and state of the model: all must equal
those of the reference implementation, bit for bit. The exit code is 0 when they do, else 1.

Examples:
  tern selftest --backend webgpu
  tern selftest --backend webgpu --adapter integrated --json
`

/** Failures shown of one check. */
const MAX_SHOWN_FAILURES = 5

export function defineSelfTest(program: Command, run: (options: SelfTestOptions) => Promise<void>): void {
  const command = program
    .command('selftest')
    .summary('check a backend on this machine')
    .description('Holds what computes on this machine against the reference implementation.')
  addModelOptions(command)
    .option(
      '--json',
      'one JSON object on stdout: {passed, backend, checks: [{name, cases, failures, skipped}], durationMs}',
    )
    .addHelpText('after', EXAMPLES)
    .action((options: SelfTestOptions) => run(options))
}

export async function selfTest(options: SelfTestOptions, context: CommandContext): Promise<number> {
  const { terminal } = context
  context.wantsJson = options.json === true
  const startedAtMs = performance.now()
  const checks: Check[] = []
  let backend: BackendInfo | undefined
  let passed = false
  const engine = await context.connectEngine(options.backend)
  const progress = startProgress(terminal, 'Testing')
  try {
    const params = { path: modelPath(options.model), ...backendRequest(options) }
    await follow(
      engine.client,
      'selftest',
      params,
      event => {
        if (event.kind === 'progress') progress.update(event.fraction, event.stage)
        else if (event.kind === 'backend') backend = event.backend
        else if (event.kind === 'check') checks.push(event)
        else passed = event.passed
      },
      context,
    )
    progress.end()
    const durationMs = performance.now() - startedAtMs
    if (options.json) {
      writeJson(terminal, {
        passed,
        backend,
        checks: checks.map(({ name, cases, failures, skipped }) => ({ name, cases, failures, skipped })),
        durationMs,
      })
    } else {
      terminal.stdout.write(`${backend?.name}: ${backend?.description}\n`)
      terminal.stdout.write(table(checks.map(check => [check.name, verdict(check)] as const)))
      for (const { failures } of checks) terminal.stdout.write(details(failures))
      terminal.stdout.write(`${passed ? 'Passed' : 'Failed'} in ${formatMs(durationMs)}.\n`)
    }
    return passed ? 0 : 1
  } finally {
    progress.end()
    await engine.close()
  }
}

function verdict({ cases, failures, skipped }: Check): string {
  if (skipped !== null) return `skipped: ${skipped}`
  if (failures.length === 0) return cases > 1 ? `equal in ${cases} cases` : 'passed'
  return cases > 1 ? `${failures.length} of ${cases} cases differ` : 'failed'
}

function details(failures: string[]): string {
  const more = failures.length > MAX_SHOWN_FAILURES ? [`and ${failures.length - MAX_SHOWN_FAILURES} more`] : []
  return [...failures.slice(0, MAX_SHOWN_FAILURES), ...more].map(line => `  ${line}\n`).join('')
}
