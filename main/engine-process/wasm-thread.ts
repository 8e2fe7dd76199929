/** The worker file of the WASM backend: says that it has loaded, then is the engine's until the engine lets it go. */
import { parentPort, workerData } from 'node:worker_threads'
import { runWasmThread } from '../../engine/backends/wasm/thread.ts'
import { THREAD_STARTED } from './thread-messages.ts'

parentPort!.postMessage(THREAD_STARTED)
runWasmThread(workerData)
