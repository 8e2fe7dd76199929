/** This machine's files and programs, for the readers of power. */
import { execFile } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import type { PowerMachine } from '../services/telemetry/ports.ts'

/** A driver's program that takes longer is of no use twice a second. */
const RUN_TIMEOUT_MS = 3_000

export const powerMachine: PowerMachine = {
  platform: process.platform,
  list: path => readdir(path).catch(() => []),
  readText: path => readFile(path, 'utf8'),
  run: (command, args) =>
    new Promise(resolve => {
      // Numbers in every language the same.
      const env = { ...process.env, LC_ALL: 'C' }
      execFile(command, [...args], { timeout: RUN_TIMEOUT_MS, env, windowsHide: true }, (error, stdout) =>
        resolve(error === null ? stdout : null),
      )
    }),
}
