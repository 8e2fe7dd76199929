/** Answers the window: the app's contract over chats and the engine's supervisor. The same for Electron and the browser. */

import type { AppInfo } from '../../contract/app/app.ts'
import { type AppApi, appApi } from '../../contract/app-api.ts'
import { type Handlers, type Server, serve, type Transport } from '../../contract/rpc.ts'
import { newId } from '../ids.ts'
import { ChatFiles } from '../services/chat-files/chat-files.ts'
import { Chats } from '../services/chats/chats.ts'
import { createEngineMemoryWatch } from '../services/telemetry/engine-memory.ts'
import { PowerMeter } from '../services/telemetry/power-meter.ts'
import { findPowerSources } from '../services/telemetry/power-sources.ts'
import { systemTime } from '../time.ts'
import type { AppStorage } from './app-storage.ts'
import { chatLibrary } from './chat-library.ts'
import { powerMachine } from './power-machine.ts'
import type { SpawnEngineProcess, SupervisorTiming } from './supervisor.ts'
import { createSupervisor, type ModelRequest, type Supervisor } from './supervisor.ts'

export interface AppHostOptions {
  info: AppInfo
  spawnEngine: SpawnEngineProcess
  model: ModelRequest
  /** The model that comes with the app, on the same backend. */
  embeddedModel: ModelRequest
  storage: AppStorage
  timing?: Partial<SupervisorTiming>
  /** Reads the machine's power. */
  meter?: PowerMeter
}

/** Everything behind a window, whichever shell shows it. */
export interface AppHost {
  readonly supervisor: Supervisor
  /** Serves one window; close the returned server when its connection ends. */
  connect(transport: Transport): Server
  /** Ends the engine process, and closes the chats when all is written. */
  stop(): Promise<void>
}

export function createAppHost(options: AppHostOptions): AppHost {
  const { info, spawnEngine, model, embeddedModel, storage, timing } = options
  const meter = options.meter ?? new PowerMeter(() => findPowerSources(powerMachine))
  const supervisor = createSupervisor(spawnEngine, model, timing === undefined ? {} : { timing })
  const chats = new Chats(supervisor, storage.chats, { meter, onStoreFailure: problem => storage.report(problem) })
  const handlers = createAppService({ info, supervisor, embeddedModel, chats, storage, meter })
  return {
    supervisor,
    connect: transport => serve(appApi, transport, handlers),
    async stop() {
      await chats.settle()
      await supervisor.stop()
      await chats.settle()
      await storage.close()
    },
  }
}

interface Services {
  info: AppInfo
  supervisor: Supervisor
  embeddedModel: ModelRequest
  chats: Chats
  storage: AppStorage
  meter: PowerMeter
}

function createAppService({ info, supervisor, embeddedModel, chats, storage, meter }: Services): Handlers<AppApi> {
  const memory = createEngineMemoryWatch(supervisor)
  const files = new ChatFiles(chatLibrary(chats, storage.chats), systemTime, newId)
  return {
    calls: {
      'app.info': () => info,
      'engine.retry': () => supervisor.retry(),
      'engine.useEmbedded': () => supervisor.use(embeddedModel),
      'states.use': () => storage.chats.stateUse(),
      'states.setBudget': async ({ maxBytes }) => {
        await storage.chats.setStateBudget(maxBytes)
        return storage.chats.stateUse()
      },
      'states.save': async ({ chatId, messageId }) =>
        Buffer.from(await chats.saveState(chatId, messageId)).toString('base64'),
      'states.open': ({ state, readAgain }) => chats.openState(new Uint8Array(Buffer.from(state, 'base64')), readAgain),
      'chat.create': ({ isTemporary }) => chats.create(isTemporary),
      'chat.delete': ({ chatId }) => chats.delete(chatId),
      'chat.restore': ({ chatId }) => chats.restore(chatId),
      'chat.send': ({ chatId, text, sampling }) => chats.send(chatId, text, sampling),
      'chat.stop': ({ chatId, messageId }) => chats.stop(chatId, messageId),
      'chat.regenerate': ({ chatId, messageId, sampling }) => chats.regenerate(chatId, messageId, sampling),
      'chat.continue': ({ chatId, messageId, sampling }) => chats.continue(chatId, messageId, sampling),
      'chat.edit': ({ chatId, messageId, text, sampling }) => chats.edit(chatId, messageId, text, sampling),
      'chat.rename': ({ chatId, title }) => chats.rename(chatId, title),
      'chat.arrange': ({ chatId, ...order }) => chats.arrange(chatId, order),
      'chat.find': ({ text }) => chats.find(text),
      'files.begin': () => files.begin(),
      'files.add': ({ uploadId, piece }) => files.add(uploadId, piece),
      'files.read': ({ uploadId }) => files.read(uploadId),
      'files.export': ({ chatId, format }) => files.export(chatId, format),
      'files.piece': ({ fileId, index }) => files.piece(fileId, index),
      'files.import': ({ uploadId }) => files.import(uploadId),
      'chat.branch': ({ chatId, messageId }) => chats.branch(chatId, messageId),
      'chat.compare': ({ chatId, messageId, samplings }) => chats.compare(chatId, messageId, samplings),
      'chat.keep': ({ chatId, messageId }) => chats.keep(chatId, messageId),
      'chat.deleteFrom': ({ chatId, messageId }) => chats.deleteFrom(chatId, messageId),
      'chat.restoreMessages': ({ chatId }) => chats.restoreMessages(chatId),
      'chat.map': ({ chatId }) => chats.map(chatId),
      'chat.select': ({ chatId, messageId }) => chats.select(chatId, messageId),
    },
    streams: {
      'app.storage': (_params, emit, { signal }) => storage.watch(emit, signal),
      'engine.status': (_params, emit, { signal }) =>
        new Promise(resolve => {
          const stopListening = supervisor.onStatus(emit)
          signal.addEventListener('abort', () => {
            stopListening()
            resolve()
          })
          emit(supervisor.status)
        }),
      'engine.memory': (_params, emit, { signal }) => memory.watch(emit, signal),
      'power.watch': (_params, emit, { signal }) => meter.watch(emit, signal),
      'chat.summaries': (_params, emit, { signal }) => chats.watchSummaries(emit, signal),
      'chat.watch': ({ chatId }, emit, { signal }) => chats.watch(chatId, emit, signal),
    },
  }
}
