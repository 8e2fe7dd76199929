/** Physical cores from what Linux tells of them. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { coreThreads, linuxCores } from '../../main/engine-process/core-threads.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tern-test-'))
})
afterEach(() => rm(folder, { recursive: true }))

/** Processors by number, each with its list of siblings; null is one that is switched off. */
async function processors(siblings: (string | null)[]): Promise<void> {
  for (const name of ['cpufreq', 'cpuidle']) await mkdir(join(folder, name))
  for (const [cpu, list] of siblings.entries()) {
    const topology = join(folder, `cpu${cpu}`, 'topology')
    await mkdir(topology, { recursive: true })
    if (list !== null) await writeFile(join(topology, 'thread_siblings_list'), `${list}\n`)
  }
}
const allowed = (list: string): string => `Name:\tnode\nCpus_allowed:\tff\nCpus_allowed_list:\t${list}\n`

it('counts two threads of one core once', async () => {
  await processors(['0,4', '1,5', '2,6', '3,7', '0,4', '1,5', '2,6', '3,7'])
  expect(await linuxCores(folder, allowed('0-7'))).toBe(4)
})

it('counts only cores that the process may use', async () => {
  await processors(['0-1', '0-1', '2-3', '2-3', '4-5', '4-5'])
  expect(await linuxCores(folder, allowed('0,2-3'))).toBe(2)
  expect(await linuxCores(folder, 'Name:\tnode\n')).toBe(3)
})

it('knows nothing where processors have no topology', async () => {
  await processors([null, null])
  expect(await linuxCores(folder, allowed('0-1'))).toBeNull()
})

it('gives at least one thread and no more than there are processors', async () => {
  const threads = await coreThreads()
  expect(threads).toBeGreaterThanOrEqual(1)
  expect(threads).toBeLessThanOrEqual(availableParallelism())
})
