/** A host that starts the fake engine process, tells its id, and waits to be killed (supervisor.test.ts). */

import { createSupervisor } from '../main/host/supervisor.ts'
import { childOf } from './engine-child.ts'

const supervisor = createSupervisor(childOf('test/fake-engine-process.ts'), {
  path: '/models/fake.gguf',
  name: 'fake.gguf',
  isEmbedded: false,
  backend: 'auto',
})
await supervisor.whenReady()
process.send!(supervisor.pid)
