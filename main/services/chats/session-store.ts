/**
 * Where a model stands: engine sessions that live, and snapshots of messages. Given the path to a message it finds the
 * state that has read most of it. Few sessions live at a time; the rest are snapshots.
 */
import type { Conversation } from '../../../contract/engine/session.ts'
import { toErrorData } from '../../../contract/errors.ts'
import type { ChatStore, EngineConnection } from './ports.ts'

/** Sessions kept alive in the engine process; the chats beyond them live as snapshots. */
export const MAX_LIVE_SESSIONS = 4

/** An engine session, and the message up to which it has read; null: it stands between two, and fits none. */
export interface LiveSession {
  readonly connection: EngineConnection
  readonly sessionId: string
  readonly chatId: string
  messageId: string | null
  /** A reply uses it: it is not freed for others. */
  isBusy: boolean
}

/** How the session came about. */
export type SessionOrigin =
  | { kind: 'new' }
  | { kind: 'live' }
  /** From a snapshot, in this time. */
  | { kind: 'snapshot'; durationMs: number }

/** Why a message's snapshot could not be used. */
export type SnapshotLack = 'none' | 'other-model' | 'damaged'

export interface FoundSession {
  session: LiveSession
  origin: SessionOrigin
  /** Of the latest message that has none to go on from; null: the latest of the path has. */
  lack: SnapshotLack | null
  /** The message up to which it has read: all of the path, or an earlier one. null: nothing. */
  readUpTo: string | null
}

export class SessionStore {
  private readonly store: ChatStore
  /** Least recently used first. */
  private readonly live = new Set<LiveSession>()

  private readonly nowMs: () => number

  constructor(store: ChatStore, nowMs: () => number) {
    this.store = store
    this.nowMs = nowMs
  }

  /**
   * A session that has read as much of `path` as any state has, marked busy. A snapshot that the engine refuses (another
   * model's, damaged) is deleted and the one before it is tried.
   */
  async open(
    chatId: string,
    path: readonly string[],
    connection: EngineConnection,
    conversationAt: (messageId: string) => Conversation,
  ): Promise<FoundSession> {
    this.dropOthers(connection)
    let lack: SnapshotLack | null = null
    for (const messageId of path.toReversed()) {
      const live = this.idleAt(messageId)
      if (live !== null) return this.use(live, messageId, { kind: 'live' }, lack)
      const startedAtMs = this.nowMs()
      const restored = await this.restore(chatId, messageId, connection, conversationAt)
      if (typeof restored === 'object') {
        return this.use(restored, messageId, { kind: 'snapshot', durationMs: this.nowMs() - startedAtMs }, lack)
      }
      // A question that has just been asked has none yet: what the one before lacks says more.
      if (lack === null || lack === 'none') lack = restored
    }
    const sessionId = await connection.client.call('session.create', undefined)
    return this.use(this.add(chatId, connection, sessionId), null, { kind: 'new' }, lack)
  }

  /** Keeps the session's state as that of the message at which it stands. */
  async keep(session: LiveSession): Promise<void> {
    const { sessionId, messageId, chatId } = session
    if (messageId === null) return
    const state = await session.connection.client.call('session.export', { sessionId, stored: 'mark' })
    await this.store.putSnapshot(chatId, messageId, session.connection.modelKey, state)
  }

  /** The reply that used it has ended. */
  release(session: LiveSession): void {
    session.isBusy = false
    if (session.messageId === null) this.drop(session)
    this.trim()
  }

  dropChat(chatId: string): void {
    for (const session of [...this.live]) if (session.chatId === chatId && !session.isBusy) this.drop(session)
  }

  private idleAt(messageId: string): LiveSession | null {
    for (const session of this.live) if (session.messageId === messageId && !session.isBusy) return session
    return null
  }

  private use(
    session: LiveSession,
    readUpTo: string | null,
    origin: SessionOrigin,
    lack: SnapshotLack | null,
  ): FoundSession {
    session.isBusy = true
    session.messageId = readUpTo
    this.live.delete(session)
    this.live.add(session)
    this.trim()
    return { session, readUpTo, origin, lack }
  }

  /** From the message's snapshot, where there is one that this model takes. */
  private async restore(
    chatId: string,
    messageId: string,
    connection: EngineConnection,
    conversationAt: (messageId: string) => Conversation,
  ): Promise<LiveSession | SnapshotLack> {
    const { modelKey } = connection
    const state = await this.store.getSnapshot(messageId, modelKey)
    if (state === null) return (await this.store.snapshotModels(messageId)).length > 0 ? 'other-model' : 'none'
    try {
      const conversation = conversationAt(messageId)
      return this.add(chatId, connection, await connection.client.call('session.import', { state, conversation }))
    } catch (thrown) {
      const { code } = toErrorData(thrown)
      if (code !== 'state-mismatch' && code !== 'state-corrupt') throw thrown
      await this.store.deleteSnapshot(messageId, modelKey)
      return code === 'state-mismatch' ? 'other-model' : 'damaged'
    }
  }

  private add(chatId: string, connection: EngineConnection, sessionId: string): LiveSession {
    const session: LiveSession = { connection, sessionId, chatId, messageId: null, isBusy: true }
    this.live.add(session)
    return session
  }

  private drop(session: LiveSession): void {
    this.live.delete(session)
    // A session of a dead process is gone already.
    session.connection.client.call('session.dispose', { sessionId: session.sessionId }).catch(() => {})
  }

  /** Sessions of an engine that is gone. */
  private dropOthers(connection: EngineConnection): void {
    for (const session of [...this.live]) if (session.connection !== connection && !session.isBusy) this.drop(session)
  }

  private trim(): void {
    for (const session of [...this.live]) {
      if (this.live.size <= MAX_LIVE_SESSIONS) break
      if (!session.isBusy) this.drop(session)
    }
  }
}
