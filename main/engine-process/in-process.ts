/** The engine in this process, behind the same contract: for the command line, which ends when its work does. */
import { type EngineApi, engineApi } from '../../contract/engine-api.ts'
import { type Client, createClient, createTransportPair, serve } from '../../contract/rpc.ts'
import { createEngineService } from './engine-service.ts'

export async function connectEngineInProcess(): Promise<{
  client: Client<EngineApi>
  /** Cancels what runs, waits until it has cleaned up, ends the threads. */
  close(): Promise<void>
}> {
  const service = createEngineService()
  const [here, there] = createTransportPair()
  const server = serve(engineApi, there, service.handlers)
  const client = createClient(engineApi, here)
  return {
    client,
    async close() {
      server.close()
      client.close()
      await service.dispose()
    },
  }
}
