/** An engine process around the fake engine: what supervisor tests kill, and what a window can be developed against. */
import { runEngineProcess } from '../main/engine-process/run-engine-process.ts'
import { createFakeEngine } from './fake-engine.ts'

const { handlers } = createFakeEngine({ tokenMs: Number(process.env.TERN_FAKE_TOKEN_MS ?? 8), replyWords: 120 })
runEngineProcess(handlers, async () => {})
