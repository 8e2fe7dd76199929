/** `tern convert`: a Hugging Face folder to one GGUF file. */
import { type Command, Option } from 'commander'
import type { CommandContext } from './command-context.ts'
import { follow, modelPath } from './model.ts'
import { somePath } from './options.ts'
import { outputPath } from './output-files.ts'
import { formatBytes, formatMs, printable, startProgress, writeJson } from './terminal.ts'

interface ConvertOptions {
  packing: 'tq1_0' | 'tq2_0'
  force?: true
  json?: true
}

const EXAMPLES = `
IN is a folder with config.json, weights (model.safetensors, sharded or not, or pytorch_model.bin) and a tokenizer
(tokenizer.json or tokenizer.model). Nothing in it is ever executed. Weights stream through: memory stays far below
the size of the checkpoint.

Examples:
  tern convert MMfreeLM-370M mmfreelm-370m.gguf
  tern convert MMfreeLM-2.7B mmfreelm-2.7b.gguf --packing tq1_0
  tern run -m mmfreelm-370m.gguf --raw -p "The Arctic tern"
`

export function defineConvert(
  program: Command,
  run: (input: string, output: string, options: ConvertOptions) => Promise<void>,
): void {
  program
    .command('convert')
    .summary('make a GGUF file from a Hugging Face folder')
    .description('Converts a MatMul-free checkpoint from Hugging Face into one GGUF file.')
    .argument('<in>', 'folder of the checkpoint', somePath)
    .argument('<out>', 'GGUF file to write', somePath)
    .addOption(
      new Option(
        '--packing <type>',
        'ternary weights: tq2_0 (2.06 bits, loads fastest) or tq1_0 (1.69 bits, smallest); both run equally fast',
      )
        .choices(['tq1_0', 'tq2_0'])
        .default('tq2_0'),
    )
    .option('-f, --force', 'replace an existing file')
    .option('--json', 'one JSON object on stdout: {output, outputBytes, packing, convertMs}')
    .addHelpText('after', EXAMPLES)
    .action((input: string, output: string, options: ConvertOptions) => run(input, output, options))
}

export async function convert(
  input: string,
  output: string,
  options: ConvertOptions,
  context: CommandContext,
): Promise<number> {
  const { terminal } = context
  context.wantsJson = options.json === true
  const inputPath = modelPath(input)
  const path = await outputPath(output, [inputPath])

  // Converting computes nothing: no kernels needed.
  const engine = await context.connectEngine('reference')
  const progress = startProgress(terminal, 'Converting', { lines: true })
  const startedAtMs = performance.now()
  let outputBytes = 0
  try {
    await follow(
      engine.client,
      'convert',
      { input: inputPath, output: path, packing: options.packing, replace: options.force === true },
      event => {
        if (event.kind === 'progress') progress.update(event.fraction, event.tensor)
        else outputBytes = event.outputBytes
      },
      context,
    )
  } finally {
    progress.end()
    // Waits until a cancelled conversion has removed its unfinished file.
    await engine.close()
  }
  const convertMs = performance.now() - startedAtMs
  if (options.json) writeJson(terminal, { output: path, outputBytes, packing: options.packing, convertMs })
  else terminal.stdout.write(`${printable(output)}: ${formatBytes(outputBytes)} in ${formatMs(convertMs)}\n`)
  return 0
}
