/** What stands in the conversation's place while there is no model to talk to. */
import { useState } from 'react'
import { useEngine, useStores } from '../../app/stores.ts'
import { strings } from '../../app/strings.ts'
import { ErrorNotice } from '../../ui/error-notice.tsx'
import { Mark } from '../../ui/mark.tsx'
import { formatPercent } from '../../ui/units.ts'

export function EngineLoading() {
  const status = useEngine(state => state.status)
  const loading = status?.phase === 'loading' ? status : null
  const words = strings.engine
  return (
    <section className="engine-loading" aria-busy="true">
      <Mark className="empty-mark pulse" />
      <h2>
        {loading === null
          ? words.starting
          : loading.stage === 'convert'
            ? words.converting(loading.modelName)
            : words.loading(loading.modelName)}
      </h2>
      {/* The row keeps its height from the first moment, so nothing moves when figures arrive. */}
      <div className="engine-loading-progress">
        {loading === null ? (
          <progress aria-label={words.starting} />
        ) : (
          <progress aria-label={words.loading(loading.modelName)} value={loading.fraction} max={1} />
        )}
        <span>{loading === null ? '' : formatPercent(loading.fraction)}</span>
      </div>
      <p>{words.loadingHint}</p>
    </section>
  )
}

export function EngineFailed() {
  const { engine } = useStores()
  const status = useEngine(state => state.status)
  const retryError = useEngine(state => state.retryError)
  const [retrying, setRetrying] = useState(false)
  if (status?.phase !== 'failed') return null
  const words = strings.engine
  const { otherModelPath } = status
  const attempt = async (call: () => Promise<void>) => {
    setRetrying(true)
    await call()
    setRetrying(false)
  }
  return (
    <section className="engine-failed">
      <ErrorNotice heading={words.failedHeading} error={retryError ?? status.error}>
        {otherModelPath === null ? null : (
          <button
            type="button"
            className="primary-button"
            disabled={retrying}
            onClick={() => void attempt(engine.useEmbedded)}
          >
            {words.useEmbedded}
          </button>
        )}
        <button
          type="button"
          className={otherModelPath === null ? 'primary-button' : 'quiet-button'}
          disabled={retrying}
          onClick={() => void attempt(engine.retry)}
        >
          {retrying ? words.retrying : words.retry}
        </button>
      </ErrorNotice>
      {otherModelPath === null ? null : (
        <p className="engine-failed-path">
          {words.failedModel} <code>{otherModelPath}</code>
        </p>
      )}
    </section>
  )
}
