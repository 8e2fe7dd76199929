/**
 * The bridge between the window and the host: one function that asks for a connection. The port itself comes as a `message`
 * event of the window ("tern-port"), because ports cannot pass through the context bridge. Runs in the sandbox.
 */
import { contextBridge, ipcRenderer } from 'electron'
import { CONNECT_CHANNEL, PORT_CHANNEL } from './channels.ts'

declare const window: {
  location: { origin: string }
  postMessage(message: unknown, targetOrigin: string, transfer: readonly unknown[]): void
}

contextBridge.exposeInMainWorld('tern', { connect: () => ipcRenderer.send(CONNECT_CHANNEL) })

ipcRenderer.on(PORT_CHANNEL, event => window.postMessage('tern-port', window.location.origin, event.ports))
