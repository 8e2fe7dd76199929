/** `tern models get`: a model from the Hugging Face hub into a folder of this machine. */
import type { Command } from 'commander'
import type { CommandContext } from './command-context.ts'
import { absolutePath } from './input-files.ts'
import { somePath } from './options.ts'
import { formatBytes, printable, startProgress, writeJson } from './terminal.ts'

interface GetOptions {
  to?: string
  json?: true
}

const EXAMPLES = `
Only files that hold the model are fetched, at the revision of the moment, and each is held against the hub's hash. What was
stopped goes on where it was. The variable HF_ENDPOINT names a mirror, HF_TOKEN a token for what is not public; with
NODE_USE_ENV_PROXY=1, HTTPS_PROXY names a proxy.

Published MatMul-free models, base models under Apache-2.0 which continue a text and know little:
  ridger/MMfreeLM-370M, ridger/MMfreeLM-1.3B, ridger/MMfreeLM-2.7B

Example:
  tern models get ridger/MMfreeLM-370M --to mmfreelm-370m
  tern convert mmfreelm-370m mmfreelm-370m.gguf
`

export function defineModels(program: Command, run: (repository: string, options: GetOptions) => Promise<void>): void {
  program
    .command('models')
    .summary('get models')
    .description('Models from elsewhere.')
    .command('get')
    .description('Downloads a MatMul-free model from the Hugging Face hub. The only command that uses the network.')
    .argument('<repository>', 'OWNER/NAME, or a link to its page')
    .option('--to <folder>', "where it is put (default: in the folder of Tern's data)", somePath)
    .option('--json', 'one JSON object on stdout: {path}')
    .addHelpText('after', EXAMPLES)
    .action((repository: string, options: GetOptions) => run(repository, options))
}

export async function getModelFromHub(
  repository: string,
  options: GetOptions,
  context: CommandContext,
): Promise<number> {
  const { terminal, interrupts } = context
  context.wantsJson = options.json === true
  // Loaded when it is needed: no other command uses the network.
  const { getModel } = await import('../host/model-hub.ts')
  const progress = startProgress(terminal, 'Downloading', { lines: true })
  try {
    const path = await getModel(repository, options.to === undefined ? undefined : absolutePath(options.to), {
      signal: interrupts.signal,
      onProgress: ({ file, bytesDone, bytesTotal }) =>
        progress.update(bytesDone / Math.max(1, bytesTotal), `${file} of ${formatBytes(bytesTotal)}`),
    })
    progress.end()
    if (options.json) writeJson(terminal, { path })
    else terminal.stdout.write(`${printable(path)}\n`)
    return 0
  } finally {
    progress.end()
  }
}
