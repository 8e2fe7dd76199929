/** The engine process: the engine, and the channel to the host that started it. */
import { createEngineService } from './engine-service.ts'
import { runEngineProcess } from './run-engine-process.ts'

const { handlers, dispose } = createEngineService({ hashAfterLoad: true })
runEngineProcess(handlers, dispose)
