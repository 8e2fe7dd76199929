/** A model from a path: a GGUF file, or a Hugging Face folder by way of the conversion cache. Loads no weights. */
import { stat } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import type { ModelInfo } from '../../contract/words/model.ts'
import type { CancelSignal } from '../../engine/engine-environment.ts'
import { openCheckpoint } from '../../engine/formats/checkpoint-folder.ts'
import { checkUpstreamTensors, convertCheckpoint, readConfigJson } from '../../engine/formats/convert.ts'
import { tokenizerMetadata } from '../../engine/formats/folder-tokenizer.ts'
import { type GgufModel, openGguf } from '../../engine/formats/gguf.ts'
import { bytesPerState, type ModelConfig, parseHuggingFaceConfig } from '../../engine/model/config.ts'
import { parameterCounts, UPSTREAM_EMBEDDING } from '../../engine/model/tensors.ts'
import { convertedFile } from './conversion-cache.ts'
import { nodeEngineEnvironment } from './engine-environment.ts'
import { isFolder, openFile, openFolder } from './node-files.ts'

export interface OpenModelOptions {
  cacheDirectory: string
  onConvertProgress(fraction: number): void
  signal: CancelSignal
}

/** Throws `file-*`, `format-*`, `config-*`, `tensor-*`, `disk-full`, `cancelled`. */
export async function openModel(path: string, options: OpenModelOptions): Promise<GgufModel> {
  return openGguf(await openFile((await isFolder(path)) ? await convert(path, options) : path))
}

function convert(path: string, { cacheDirectory, onConvertProgress, signal }: OpenModelOptions): Promise<string> {
  return convertedFile(path, cacheDirectory, async (folder, sink) => {
    await convertCheckpoint(folder, sink, {
      packing: 'tq2_0',
      onProgress: onConvertProgress,
      signal,
      yieldToEventLoop: nodeEngineEnvironment.yieldToEventLoop,
    })
  })
}

/** What a file or folder says of itself in its headers; nothing is converted. */
export async function readModelInfo(path: string): Promise<ModelInfo> {
  if (await isFolder(path)) return checkpointInfo(path)
  const file = await openGguf(await openFile(path))
  try {
    return ggufInfo(file, path)
  } finally {
    await file.close()
  }
}

export function ggufInfo(file: GgufModel, path: string): ModelInfo {
  return {
    name: file.name,
    path: resolve(path),
    fileBytes: file.byteLength,
    parameterCount: file.parameterCount,
    ternaryParameterCount: file.ternaryParameterCount,
    ...sizes(file.config),
    packing: file.packing,
    embeddingType: file.embeddingType,
    license: file.license,
    description: file.description,
    hasChatTemplate: file.chatTemplate !== null,
  }
}

async function checkpointInfo(path: string): Promise<ModelInfo> {
  const folder = await openFolder(path)
  const configJson = await readConfigJson(folder)
  const { config } = parseHuggingFaceConfig(configJson)
  const tokenizerEntries = await tokenizerMetadata(folder, configJson, config)
  const checkpoint = await openCheckpoint(folder)
  try {
    checkUpstreamTensors(checkpoint, config)
  } finally {
    await checkpoint.close()
  }
  const parameters = parameterCounts(config)
  return {
    name: basename(resolve(path)),
    path: resolve(path),
    fileBytes: await weightFileBytes(path, await folder.list()),
    parameterCount: parameters.all,
    ternaryParameterCount: parameters.ternary,
    ...sizes(config),
    packing: 'not converted yet',
    embeddingType: checkpoint.tensors.get(UPSTREAM_EMBEDDING)?.dtype ?? 'unknown',
    license: null,
    description: null,
    hasChatTemplate: tokenizerEntries.some(({ key }) => key === 'tokenizer.chat_template'),
  }
}

const sizes = (config: ModelConfig) => ({
  vocabularySize: config.vocabularySize,
  hiddenSize: config.hiddenSize,
  stateWidth: config.stateWidth,
  layerCount: config.layerCount,
  intermediateSize: config.intermediateSize,
  trainingContextLength: config.trainingContextLength,
  bytesPerState: bytesPerState(config),
})

async function weightFileBytes(path: string, names: string[]): Promise<number> {
  const files = names.filter(name => name.endsWith('.safetensors') || name.endsWith('.bin'))
  // A broken link counts nothing; whether it is needed is seen when it is opened.
  const stats = await Promise.all(files.map(name => stat(join(path, name)).catch(() => null)))
  return stats.reduce((total, found) => total + (found?.size ?? 0), 0)
}
