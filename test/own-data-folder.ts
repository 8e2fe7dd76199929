/** Before each file of tests: what it starts keeps its chats in a folder of its own, never in the user's. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'

const folder = mkdtempSync(join(tmpdir(), 'tern-home-'))
process.env.TERN_HOME = folder
afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }))
