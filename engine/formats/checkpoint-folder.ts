/**
 * A Hugging Face checkpoint folder as named tensors, whatever files it is made of: safetensors or torch .bin, single or
 * sharded by an index. Elements come as float32 in row-major order, in pieces of any size.
 * Names inside an index are plain file names of the same folder; anything else is refused.
 */
import * as v from 'valibot'
import type { ByteFolder, ByteSource } from '../engine-environment.ts'
import { EngineError } from '../errors.ts'
import { type Checkpoint, type CheckpointTensor, missingInCheckpoint, withPlainNames } from './checkpoint.ts'
import { readJson } from './folder-files.ts'
import { openSafetensors } from './safetensors.ts'
import { openTorchBin } from './torch-bin.ts'

const LIMITS = { indexBytes: 16 * 2 ** 20, shards: 1024 } as const

const indexSchema = v.object({ weight_map: v.record(v.string(), v.string()) })

type OpenFile = (source: ByteSource) => Promise<Checkpoint>

/** Files that a checkpoint may be made of, in the order in which transformers prefers them. */
const LAYOUTS: { file: string; open: OpenFile }[] = [
  { file: 'model.safetensors', open: openSafetensors },
  { file: 'pytorch_model.bin', open: openTorchBin },
]

/**
 * Opens the weights of a folder.
 * @throws EngineError `file-not-found` when the folder has none, `format-*`, `file-truncated`, `limit-exceeded`
 */
export async function openCheckpoint(folder: ByteFolder): Promise<Checkpoint> {
  const files = new Set(await folder.list())
  for (const { file, open } of LAYOUTS) {
    if (files.has(file)) return withPlainNames(await open(await folder.open(file)))
    const index = `${file}.index.json`
    if (files.has(index)) return withPlainNames(await openShards(folder, index, files, open))
  }
  throw new EngineError('file-not-found', `"${folder.name}" holds no model weights.`, {
    expected: LAYOUTS.map(({ file }) => `${file}, or ${file}.index.json with its shards`).join('; '),
    actual: files.size === 0 ? 'an empty folder' : [...files].sort().slice(0, 8).join(', '),
    remedy: 'Choose the folder that holds config.json and the weights of the checkpoint.',
  })
}

async function openShards(folder: ByteFolder, indexName: string, files: Set<string>, open: OpenFile) {
  const shardOfTensor = await readIndex(folder, indexName)
  const names = new Set(shardOfTensor.values())
  if (names.size > LIMITS.shards) {
    throw new EngineError('limit-exceeded', `${indexName} names too many files.`, {
      expected: `at most ${LIMITS.shards}`,
      actual: String(names.size),
    })
  }
  for (const name of names) {
    if (files.has(name)) continue
    const plain = !/[/\\]|^\.\.?$/.test(name)
    throw new EngineError(
      plain ? 'file-not-found' : 'format-invalid',
      plain ? `The folder lacks "${name.slice(0, 256)}".` : `${indexName} points outside its folder.`,
      {
        expected: 'every file named in the index, in the same folder',
        actual: `"${name.slice(0, 256)}"`,
        remedy: plain
          ? 'Download the missing file.'
          : 'Do not use this checkpoint; download it from a source you trust.',
      },
    )
  }
  const shards = new Map<string, Checkpoint>()
  const close = async () => {
    for (const shard of shards.values()) await shard.close()
  }
  try {
    for (const name of names) shards.set(name, await open(await folder.open(name)))
  } catch (error) {
    await close()
    throw error
  }
  return joinShards(shardOfTensor, shards, close)
}

async function readIndex(folder: ByteFolder, indexName: string): Promise<Map<string, string>> {
  const json = await readJson(folder, indexName, LIMITS.indexBytes)
  const parsed = v.safeParse(indexSchema, json)
  if (parsed.success) return new Map(Object.entries(parsed.output.weight_map))
  throw new EngineError('format-invalid', `${indexName} is not the index of a sharded checkpoint.`, {
    expected: 'an object "weight_map" from tensor names to file names',
    actual: parsed.issues[0].message,
    remedy: 'Download the file again.',
  })
}

function joinShards(shardOfTensor: Map<string, string>, shards: Map<string, Checkpoint>, close: () => Promise<void>) {
  const tensors = new Map<string, CheckpointTensor>()
  for (const [name, file] of shardOfTensor) {
    const tensor = shards.get(file)!.tensors.get(name)
    if (tensor) tensors.set(name, tensor)
  }
  return {
    tensors,
    async readElements(name: string, first: number, count: number) {
      const shard = shards.get(shardOfTensor.get(name) ?? '')
      if (!shard) throw missingInCheckpoint(name)
      return shard.readElements(name, first, count)
    },
    close,
  }
}
