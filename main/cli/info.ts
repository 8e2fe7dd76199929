/** `tern info`: what a model is, and how this machine would run it. */
import type { Command } from 'commander'
import type { GpuAdapter } from '../../contract/words/backend.ts'
import type { ModelInfo } from '../../contract/words/model.ts'
import type { CommandContext } from './command-context.ts'
import { EMBEDDED_MODEL_PATH, loadModel, modelPath } from './model.ts'
import { somePath } from './options.ts'
import { formatBytes, table, writeJson } from './terminal.ts'

interface InfoOptions {
  json?: true
}

const EXAMPLES = `
Examples:
  tern info
  tern info mmfreelm-1.3b.gguf --json
`

export function defineInfo(
  program: Command,
  run: (model: string | undefined, options: InfoOptions) => Promise<void>,
): void {
  program
    .command('info')
    .summary('describe a model')
    .description('Describes a model without loading its weights, and says how this machine computes.')
    .argument('[model]', 'GGUF file or Hugging Face folder (default: the model that ships with Tern)', somePath)
    .option('--json', 'one JSON object on stdout: {model: {...}, backend: {...}, adapters: [...]}')
    .addHelpText('after', EXAMPLES)
    .action((model: string | undefined, options: InfoOptions) => run(model, options))
}

export async function info(model: string | undefined, options: InfoOptions, context: CommandContext): Promise<number> {
  const { terminal } = context
  context.wantsJson = options.json === true
  const engine = await context.connectEngine('auto')
  try {
    const card = await engine.client.call('model.info', { path: modelPath(model) })
    // The choice of backend is the machine's, not the model's: the small embedded model tells it in a moment.
    const { backend } = await loadModel(engine.client, { model: EMBEDDED_MODEL_PATH, backend: 'auto' }, context)
    const adapters = await engine.client.call('backend.adapters', undefined)
    if (options.json) writeJson(terminal, { model: card, backend, adapters })
    else {
      terminal.stdout.write(describe(card))
      const rows: [string, string][] = [
        ['this machine', `${backend.name}: ${backend.description}`],
        ...(adapters.length === 0 ? [['graphics', 'no adapter that WebGPU can use'] as [string, string]] : []),
        ...adapters.map((adapter): [string, string] => ['graphics', describeAdapter(adapter)]),
      ]
      terminal.stdout.write(table(rows.map(([label, value]) => [label.padEnd(LABEL_WIDTH), value])))
    }
    return 0
  } finally {
    await engine.close()
  }
}

const LABEL_WIDTH = 16

const KIND_NOTES = {
  software: ' (software: right, but slow)',
  integrated: ' (integrated)',
  discrete: ' (discrete)',
  unknown: '',
}

const describeAdapter = (adapter: GpuAdapter): string =>
  [
    `${adapter.name}${KIND_NOTES[adapter.kind]}`,
    adapter.subgroupMinSize > 0 ? `subgroups from ${adapter.subgroupMinSize}` : 'no subgroups',
    adapter.hasPackedDot ? 'packed dot products' : 'plain dot products',
    `buffers up to ${formatBytes(adapter.maxBindingBytes)}`,
  ].join(', ')

function describe(card: ModelInfo): string {
  const count = (value: number) => value.toLocaleString('en-US')
  const rows: [string, string][] = [['model', card.name]]
  if (card.description !== null) rows.push(['description', card.description])
  rows.push(
    ['path', card.path],
    ['size', formatBytes(card.fileBytes)],
    ['licence', card.license ?? 'not stated'],
    ['parameters', `${count(card.parameterCount)}, ${count(card.ternaryParameterCount)} of them ternary`],
    ['packing', `${card.packing} (ternary), ${card.embeddingType} (embedding)`],
    ['layers', count(card.layerCount)],
    ['hidden size', count(card.hiddenSize)],
    ['state width', count(card.stateWidth)],
    ['GLU size', count(card.intermediateSize)],
    ['vocabulary', `${count(card.vocabularySize)} tokens`],
    ['trained on', `windows of ${count(card.trainingContextLength)} tokens`],
    ['conversation', `${formatBytes(card.bytesPerState)} of state, whatever its length`],
    ['chat template', card.hasChatTemplate ? 'yes' : 'none: a base model, it continues text'],
  )
  return table(rows.map(([label, value]) => [label.padEnd(LABEL_WIDTH), value]))
}
