/** Carries out one reply: finds a session, runs `generate`, and does what the state machine says, in its order. */
import type { ReplyStart } from '../../../contract/app/chats.ts'
import type { SessionInput } from '../../../contract/engine/session.ts'
import { toErrorData } from '../../../contract/errors.ts'
import type { ReplyEnergy } from '../../../contract/words/energy.ts'
import type { Sampling } from '../../../contract/words/sampling.ts'
import { generate } from '../../generation/generate.ts'
import type { Time } from '../../time.ts'
import type { EnergyMeter, EnergyWindow } from '../telemetry/ports.ts'
import { createAppendBatch } from './append-batch.ts'
import type { MessagePatch } from './message-tree.ts'
import type { OpenChat, RunningReply } from './open-chat.ts'
import type { EngineAccess } from './ports.ts'
import { type ReplyEffect, type ReplyEvent, type ReplyState, startReply, stepReply } from './reply.ts'
import { readingMs, startOf } from './reply-start.ts'
import type { LiveSession, SessionStore } from './session-store.ts'
import { TextSaver } from './text-saver.ts'

/** What a reply needs of those around it. */
export interface ReplyContext {
  engine: EngineAccess
  sessions: SessionStore
  time: Time
  meter: EnergyMeter
  /** In order with everything else that is stored; a failure is told, and does not end the reply. */
  store: {
    /** `patch` is asked for when its turn has come. */
    setMessage(messageId: string, patch: () => MessagePatch): Promise<void>
    appendText(messageId: string, text: string, atOffset: number): Promise<void>
    deleteSnapshot(messageId: string): void
  }
  /** The version before takes the place of this one. */
  giveUp(chat: OpenChat, messageId: string): void
}

export class ReplyRun implements RunningReply {
  readonly stop = new AbortController()
  figures: RunningReply['figures']
  private readonly chat: OpenChat
  private readonly context: ReplyContext
  private readonly batch: ReturnType<typeof createAppendBatch>
  private readonly saver: TextSaver
  private state: ReplyState
  private readonly isContinued: boolean
  private readonly earlierEnergy: ReplyEnergy | null
  private session: LiveSession | null = null
  private start: ReplyStart | null = null
  private toRead: SessionInput | null = null
  private next: 'read' | 'write' | null = null
  /** A write has failed: from then on all of the text is stored each time. */
  private isBehind = false
  /** Resolved when the question has been read and its state is kept, or all is over. */
  readonly hasRead: Promise<void>
  private tellRead = () => {}

  /** `messageId`: the reply, a leaf of the chat's branch; with text in it, that is gone on with. */
  constructor(chat: OpenChat, messageId: string, context: ReplyContext) {
    const { content, stats, energy } = chat.tree.node(messageId)!
    this.isContinued = content !== ''
    this.earlierEnergy = energy
    this.chat = chat
    this.context = context
    this.state = startReply({
      messageId,
      startedAtMs: context.time.nowMs(),
      earlier: stats,
      hasText: content !== '',
      isVersion: chat.tree.siblings(messageId).length > 1,
    })
    const generatedTokens = stats?.generatedTokens ?? 0
    this.figures = { messageId, phase: 'waiting', prefill: null, generatedTokens, tokensPerSecond: null }
    this.batch = createAppendBatch(context.time, (text, tokens, tokensPerSecond) => {
      chat.broadcast({ kind: 'append', messageId, text })
      chat.setFigures({ ...this.figures, generatedTokens: generatedTokens + tokens, tokensPerSecond })
    })
    this.hasRead = new Promise(resolve => {
      this.tellRead = resolve
    })
    this.saver = new TextSaver(context.time, content.length, (text, atOffset) => this.saveText(text, atOffset))
  }

  flush(): void {
    this.batch.flush()
  }

  /** Writes until the end, whatever that is; never rejects. */
  async run(sampling: Sampling): Promise<void> {
    const energy = this.context.meter.begin()
    try {
      await this.begin()
      while (this.next !== null) {
        const isReading = this.next === 'read'
        this.next = null
        if (!isReading) this.tellRead()
        await this.generate(isReading ? { maxTokens: 0 } : sampling, isReading)
      }
    } catch (thrown) {
      const isStopped = this.stop.signal.aborted
      await this.step({ kind: 'failed', error: toErrorData(thrown), isStopped, atMs: this.context.time.nowMs() })
    } finally {
      this.tellRead()
      await this.keepEnergy(energy)
      if (this.session !== null) this.context.sessions.release(this.session)
    }
  }

  /** Of all runs together, where every one of them was measured the same way. */
  private async keepEnergy(window: EnergyWindow): Promise<void> {
    const { chat, context, session, earlierEnergy, isContinued } = this
    const { messageId } = this.state
    const memory = await session?.connection.client.call('memory', undefined).catch(() => null)
    const now = await window.end(memory?.place ?? 'system').catch(() => null)
    if (now === null || chat.tree.node(messageId) === undefined) return
    const energy = isContinued ? sumOfEnergy(earlierEnergy, now) : now
    if (energy === null) return
    chat.patch(messageId, { energy })
    context.store.setMessage(messageId, () => ({ energy })).catch(() => {})
  }

  private async begin(): Promise<void> {
    const { chat, context, state } = this
    const connection = await context.engine.whenReady(this.stop.signal)
    const path = chat.tree.pathTo(state.messageId)
    const target = state.hasText ? path : path.slice(0, -1)
    const ids = target.map(({ id }) => id)
    const found = await context.sessions.open(chat.record.id, ids, connection, id => ({
      messages: chat.tree.conversation(id),
      addGenerationPrompt: chat.tree.node(id)?.role === 'user',
    }))
    const { session, readUpTo } = found
    this.session = session
    this.start = startOf(found, target)
    if (this.start?.kind === 'reread') chat.setStart(state.messageId, this.start)
    if (readUpTo === null || readUpTo !== ids.at(-1)) {
      this.toRead = {
        kind: 'messages',
        messages: chat.tree.conversation(state.messageId),
        addGenerationPrompt: !state.hasText,
      }
    }
    await this.step({ kind: 'begun', hasToRead: this.toRead !== null })
  }

  private async generate(sampling: Sampling, isReading: boolean): Promise<void> {
    const { session, toRead, context } = this
    if (session === null) return
    // Until it has ended the session stands between messages.
    session.messageId = null
    if (!isReading) context.store.deleteSnapshot(this.state.messageId)
    const input: SessionInput = isReading && toRead !== null ? toRead : { kind: 'tokens', tokens: [] }
    const end = await generate(
      session.connection.client,
      { sessionId: session.sessionId, input, sampling },
      this.stop.signal,
      progress => {
        if (progress.kind === 'prefill') this.tellResumed(progress.reusedTokens)
        void this.step({ kind: 'progress', progress, atMs: context.time.nowMs() })
      },
    )
    if (!isReading) this.flush()
    await this.step({ kind: 'generated', end, atMs: context.time.nowMs() })
  }

  /** The engine says how many tokens a stored state stands for when it goes on from there. */
  private tellResumed(tokenCount: number): void {
    const { start, chat } = this
    if (start?.kind !== 'resumed' || tokenCount === 0) return
    this.start = null
    chat.setStart(this.state.messageId, {
      ...start,
      tokenCount,
      savedMs: readingMs(tokenCount, chat.tree.activePath()),
    })
  }

  private async step(event: ReplyEvent): Promise<void> {
    if (event.kind === 'failed') this.flush()
    const phase = this.state.phase
    const { state, effects } = stepReply(this.state, event)
    this.state = state
    if (state.phase !== phase && state.phase !== 'ended') this.chat.setFigures({ ...this.figures, phase: state.phase })
    for (const effect of effects) {
      // Only what waits is waited for: text that comes in one moment must not overtake itself.
      const waiting = this.carryOut(effect)
      if (waiting !== undefined) await waiting
    }
  }

  /** Effects of progress carry out at once: nothing in them waits. */
  private carryOut(effect: ReplyEffect): Promise<void> | undefined {
    const { chat, context, session } = this
    const { messageId } = this.state
    switch (effect.kind) {
      case 'read':
      case 'write':
        this.next = effect.kind
        return
      case 'keep-state':
        return this.keepState(effect.of)
      case 'forget-session':
        if (session !== null) session.messageId = null
        return
      case 'patch':
        // The message goes out whole: text that waits must not come after it again.
        this.flush()
        this.saver.flush()
        chat.patch(messageId, effect.patch)
        this.savePatch(effect.patch)
        return
      case 'append': {
        const { content } = chat.tree.node(messageId)!
        chat.tree.patch(messageId, { content: content + effect.text })
        this.saver.add(effect.text)
        this.batch.add(effect.text, effect.tokenCount)
        return
      }
      case 'prefill':
        chat.setFigures({ ...this.figures, prefill: effect.prefill })
        return
      case 'give-up':
        context.giveUp(chat, messageId)
    }
  }

  /** What could not be stored is stored whole with what comes next. */
  private saveText(text: string, atOffset: number): void {
    const behind = () => {
      this.isBehind = true
    }
    if (this.isBehind) this.savePatch({})
    else this.context.store.appendText(this.state.messageId, text, atOffset).catch(behind)
  }

  private savePatch(patch: MessagePatch): void {
    const { messageId } = this.state
    const whole = (): MessagePatch =>
      this.isBehind ? { ...patch, content: this.chat.tree.node(messageId)?.content ?? '' } : patch
    this.context.store.setMessage(messageId, whole).catch(() => {
      this.isBehind = true
    })
  }

  /** Without it the reply stands as well: its text leads back to that state. */
  private async keepState(of: 'question' | 'reply'): Promise<void> {
    const { session, chat, state } = this
    if (session === null) return
    session.messageId = of === 'reply' ? state.messageId : (chat.tree.node(state.messageId)?.parentId ?? null)
    try {
      await this.context.sessions.keep(session)
    } catch (thrown) {
      if (toErrorData(thrown).code === 'engine-lost') session.messageId = null
    }
  }
}

/** null: they cannot be added, so that nothing is known of the whole. */
function sumOfEnergy(earlier: ReplyEnergy | null, now: ReplyEnergy): ReplyEnergy | null {
  if (earlier === null || earlier.scope !== now.scope || earlier.method !== now.method) return null
  const { aboveIdleJoules } = earlier
  return {
    ...now,
    joules: earlier.joules + now.joules,
    aboveIdleJoules:
      aboveIdleJoules === null || now.aboveIdleJoules === null ? null : aboveIdleJoules + now.aboveIdleJoules,
    quality: earlier.quality === 'measured' ? now.quality : earlier.quality,
    windowMs: earlier.windowMs + now.windowMs,
  }
}
