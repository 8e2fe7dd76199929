/** The command `tern` within the test's own process: with its exit code and output, but without a start. */
import { PassThrough } from 'node:stream'
import { engineApi } from '../contract/engine-api.ts'
import { createClient, createTransportPair, serve } from '../contract/rpc.ts'
import { type MainOptions, main } from '../main/cli/cli.ts'
import type { Terminal } from '../main/cli/terminal.ts'
import type { FakeEngine } from './fake-engine.ts'

export interface Ended {
  code: number
  stdout: string
  stderr: string
}

interface Options extends Pick<MainOptions, 'connectEngine' | 'powerMachine'> {
  /** null: a pipe that nobody writes to. */
  stdin?: string | null
  /** stdout and stderr are terminals; stdin is a pipe. */
  isTerminal?: boolean
}

export async function ternInProcess(args: readonly string[], options: Options = {}): Promise<Ended> {
  const { stdin = '', isTerminal = false, connectEngine, powerMachine } = options
  const printed = { stdout: '', stderr: '' }
  const output = (name: keyof typeof printed) => {
    const stream = new PassThrough({ encoding: 'utf8' }).on('data', text => {
      printed[name] += text
    })
    return isTerminal ? Object.assign(stream, { isTTY: true, columns: 80, rows: 24 }) : stream
  }
  const input = new PassThrough()
  if (stdin !== null) input.end(stdin)
  const terminal = { stdin: input, stdout: output('stdout'), stderr: output('stderr') } as unknown as Terminal
  const code = await main(args, {
    terminal,
    endProcess() {},
    ...(connectEngine === undefined ? {} : { connectEngine }),
    ...(powerMachine === undefined ? {} : { powerMachine }),
  })
  return { code, ...printed }
}

/** For `connectEngine`: an engine that plays a part. `change` replaces some of its handlers. */
export function connectFake(
  { handlers }: Pick<FakeEngine, 'handlers'>,
  change: Partial<FakeEngine['handlers']['streams']> = {},
) {
  return async () => {
    const [here, there] = createTransportPair()
    const server = serve(engineApi, there, { ...handlers, streams: { ...handlers.streams, ...change } })
    const client = createClient(engineApi, here)
    return {
      client,
      async close() {
        client.close()
        server.close()
      },
    }
  }
}
