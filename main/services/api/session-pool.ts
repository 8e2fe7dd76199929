/**
 * Sessions that have read a conversation and wait for its next message: a request that begins with the same messages goes on
 * from there, and reads only what is new. They are the API's own, never those of chats.
 */
import type { TemplateMessage } from '../../../contract/words/message.ts'
import type { ApiEngine } from './ports.ts'

/** Each is a state of fixed size in the engine. */
const MAX_IDLE = 8

interface IdleSession {
  engine: ApiEngine
  sessionId: string
  messages: readonly TemplateMessage[]
}

export class SessionPool {
  /** Least recently used first. */
  private idle: IdleSession[] = []

  /** The one that has read the most of these messages, or a new one. */
  async take(engine: ApiEngine, messages: readonly TemplateMessage[] | null): Promise<string> {
    const fitting = this.idle.filter(session => session.engine === engine && begins(session.messages, messages ?? []))
    const best = fitting.toSorted((a, b) => b.messages.length - a.messages.length)[0]
    if (best === undefined) return engine.client.call('session.create', undefined)
    this.idle = this.idle.filter(session => session !== best)
    return best.sessionId
  }

  /** It has read these messages, the reply among them. */
  giveBack(engine: ApiEngine, sessionId: string, messages: readonly TemplateMessage[]): void {
    // Those of an engine that is gone went with it.
    this.idle = this.idle.filter(session => session.engine === engine)
    this.idle.push({ engine, sessionId, messages })
    for (const old of this.idle.splice(0, Math.max(0, this.idle.length - MAX_IDLE))) this.drop(engine, old.sessionId)
  }

  drop(engine: ApiEngine, sessionId: string): void {
    engine.client.call('session.dispose', { sessionId }).catch(() => {})
  }
}

const begins = (beginning: readonly TemplateMessage[], all: readonly TemplateMessage[]): boolean =>
  beginning.length < all.length &&
  beginning.every(({ role, content }, index) => role === all[index].role && content === all[index].content)
