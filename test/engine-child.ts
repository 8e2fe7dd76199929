/** Engine children for tests: one of this repository's own files under the Node that runs the tests. */
import { fileURLToPath } from 'node:url'
import { engineChild } from '../main/host/engine-child.ts'
import type { SpawnEngineProcess } from '../main/host/supervisor.ts'

/** `file`: from the repository's root. */
export const childOf = (file: string): SpawnEngineProcess =>
  engineChild({ nodePath: process.execPath, entry: fileURLToPath(new URL(`../${file}`, import.meta.url)) })
