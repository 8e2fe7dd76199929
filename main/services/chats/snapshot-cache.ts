/** States of messages in memory, the least recently used of which go first. */
import type { StateUse } from './ports.ts'

interface Kept {
  messageId: string
  modelKey: string
  state: Uint8Array
}

export class SnapshotCache {
  private maxBytes: number
  private bytes = 0
  /** Least recently used first. */
  private readonly kept = new Map<string, Kept>()

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes
  }

  get use(): StateUse {
    return { bytes: this.bytes, count: this.kept.size, maxBytes: this.maxBytes }
  }

  set budget(maxBytes: number) {
    this.maxBytes = maxBytes
    this.trim()
  }

  put(messageId: string, modelKey: string, state: Uint8Array): void {
    const key = keyOf(messageId, modelKey)
    this.remove(key)
    this.kept.set(key, { messageId, modelKey, state })
    this.bytes += state.byteLength
    this.trim()
  }

  get(messageId: string, modelKey: string): Uint8Array | null {
    const key = keyOf(messageId, modelKey)
    const found = this.kept.get(key)
    if (found === undefined) return null
    this.kept.delete(key)
    this.kept.set(key, found)
    return found.state
  }

  /** In the order of their names. */
  models(messageId: string): string[] {
    const ofMessage = [...this.kept.values()].filter(kept => kept.messageId === messageId)
    return ofMessage.map(({ modelKey }) => modelKey).sort()
  }

  /** null: of all models. */
  delete(messageId: string, modelKey: string | null): void {
    for (const key of modelKey === null ? this.models(messageId) : [modelKey]) this.remove(keyOf(messageId, key))
  }

  private remove(key: string): void {
    this.bytes -= this.kept.get(key)?.state.byteLength ?? 0
    this.kept.delete(key)
  }

  private trim(): void {
    for (const oldest of [...this.kept.keys()]) {
      if (this.bytes <= this.maxBytes) break
      this.remove(oldest)
    }
  }
}

const keyOf = (messageId: string, modelKey: string): string => JSON.stringify([messageId, modelKey])
