/**
 * What `npm ci` runs at its end: one short reply on the command line, so that the kernels are compiled and a person's first
 * start is as quick as any. Says nothing and never fails: whatever is wrong, the first command says it.
 */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const launcher = fileURLToPath(new URL('tern.mjs', import.meta.url))
spawnSync(process.execPath, [launcher, 'run', '--prompt', 'Hello!', '--max-tokens', '1'], { stdio: 'ignore' })
