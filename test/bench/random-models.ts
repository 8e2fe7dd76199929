/** Models of the published shapes with random ternary weights, in a folder that is removed at the end of the run. */
import { mkdir, mkdtemp, rm, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { PUBLISHED_SHAPES, storedForm, writeRandomModel } from '../../engine/formats/random-model.ts'
import { type TernaryType, tensorBytes } from '../../engine/formats/tensor-types.ts'
import type { ModelConfig } from '../../engine/model/config.ts'
import { tensorsOf } from '../../engine/model/tensors.ts'
import { nodeEngineEnvironment } from '../../main/engine-process/engine-environment.ts'
import { createSink } from '../../main/engine-process/file-sink.ts'

export type Packing = 'tq1_0' | 'tq2_0'
export type PublishedShape = keyof typeof PUBLISHED_SHAPES

export const isPublishedShape = (shape: string): shape is PublishedShape => Object.hasOwn(PUBLISHED_SHAPES, shape)

/** Of the file, but for its header of a few kilobytes. */
export function modelFileBytes(config: ModelConfig, packing: Packing): number {
  const ternaryType: TernaryType = packing === 'tq1_0' ? 'TQ1_0' : 'TQ2_0'
  return tensorsOf(config).reduce((sum, tensor) => {
    const { type, shape } = storedForm(tensor, ternaryType)
    return sum + tensorBytes(type, shape)
  }, 0)
}

/** Left free on the disk, for others. */
const SPARE_BYTES = 256 * 2 ** 20

/** Throws an Error that says what to do when a file of `bytes` would fill the disk of `folder`. */
export async function checkRoom(folder: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder)
  if (bavail * bsize >= bytes + SPARE_BYTES) return
  const mega = (value: number) => `${Math.ceil(value / 1e6)} MB`
  throw new Error(
    `There is no room for a model of ${mega(bytes)} in ${folder}: ${mega(bavail * bsize)} are free, and ` +
      `${mega(SPARE_BYTES)} are left to others. Choose another folder with --folder, or smaller --shapes.`,
  )
}

export interface RandomModels {
  /** Path of the model's file, made when it is not there yet; whichever was there before is removed. */
  file(shape: PublishedShape, packing: Packing, signal: AbortSignal): Promise<string>
  remove(): Promise<void>
}

export async function openRandomModels(parent: string): Promise<RandomModels> {
  await mkdir(parent, { recursive: true })
  const folder = await mkdtemp(join(parent, 'tern-bench-'))
  let current: string | null = null
  return {
    async file(shape, packing, signal) {
      const path = join(folder, `${shape}-${packing}.gguf`)
      if (path === current) return path
      if (current !== null) await rm(current)
      current = null
      const config = PUBLISHED_SHAPES[shape]
      await checkRoom(folder, modelFileBytes(config, packing))
      const { yieldToEventLoop } = nodeEngineEnvironment
      await writeRandomModel(config, await createSink(path), { packing, signal, yieldToEventLoop })
      current = path
      return path
    },
    remove: () => rm(folder, { recursive: true, force: true }),
  }
}
