/** Quiet lines above the conversation: the host is gone, the engine restarts, a model loads again. */
import { useChats, useConnection, useEngine, useStores } from '../../app/stores.ts'
import { strings } from '../../app/strings.ts'
import { formatPercent } from '../../ui/units.ts'
import { CopyChat } from '../chat/copy-chat.tsx'

/** After so many attempts it is likely that the host was ended on purpose. */
const LONG_AFTER_ATTEMPTS = 5

export function ConnectionBanner() {
  const { connection } = useStores()
  const attempt = useConnection(state => (state.phase === 'lost' ? state.attempt : 0))
  const inBrowser = useEngine(state => state.info?.shell !== 'electron')
  // The first failed attempt is often a blink: say nothing yet.
  if (attempt < 2) return null
  const words = strings.connection
  return (
    <div className="banner" role="status">
      <p>{attempt >= LONG_AFTER_ATTEMPTS && inBrowser ? words.lostLong : words.lost}</p>
      <CopyChat />
      <button type="button" className="quiet-button" onClick={() => connection.retryNow()}>
        {words.retryNow}
      </button>
    </div>
  )
}

export function EngineBanner() {
  const status = useEngine(state => state.status)
  const everLoaded = useEngine(state => state.lastLoaded !== null)
  const hasMessages = useChats(state => (state.chat?.messages.length ?? 0) > 0)
  const lost = useConnection(state => state.phase === 'lost')
  if (lost || status === null) return null
  if (status.phase === 'restarting')
    return (
      <div className="banner" role="status">
        <p>
          {strings.engine.restarting}
          <span className="banner-detail">
            {strings.engine.restartingReason(status.reason)}
            {status.attempt > 1 ? ` · ${strings.engine.restartingAttempt(status.attempt)}` : ''}
          </span>
        </p>
        <progress aria-label={strings.engine.restarting} />
      </div>
    )
  if (status.phase === 'loading' && (everLoaded || hasMessages))
    return (
      <div className="banner" role="status">
        <p>{strings.engine.loading(status.modelName)}</p>
        <progress aria-label={strings.engine.loading(status.modelName)} value={status.fraction} max={1} />
        <span className="banner-figure" aria-hidden="true">
          {formatPercent(status.fraction)}
        </span>
      </div>
    )
  return null
}
