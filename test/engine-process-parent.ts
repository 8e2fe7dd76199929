/** A host that starts the fake engine process, tells its id, and waits to be killed (supervisor.test.ts). */
import { forkEngineProcess } from '../main/host/fork-engine-process.ts'
import { createSupervisor } from '../main/host/supervisor.ts'

const supervisor = createSupervisor(forkEngineProcess(new URL('./fake-engine-process.ts', import.meta.url)), {
  path: '/models/fake.gguf',
  name: 'fake.gguf',
  backend: 'auto',
})
await supervisor.whenReady()
process.send!(supervisor.pid)
