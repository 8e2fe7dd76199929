/** Says why a state file was not opened, and offers to read its text again. */
import { useStateFiles, useStores } from '../../app/stores.ts'
import { strings } from '../../app/strings.ts'

export function StateFileBanner() {
  const { stateFiles } = useStores()
  const misfit = useStateFiles(state => state.misfit)
  const failure = useStateFiles(state => state.failure)
  const words = strings.stateFiles
  const error = misfit?.error ?? failure
  if (error === null) return null
  return (
    <div className="banner" role="alert">
      <p>
        {error.message}{' '}
        {misfit === null ? (error.remedy ?? '') : words.readAgainNote(misfit.modelName, misfit.tokenCount)}
        <span className="banner-detail">
          {[
            error.expected === undefined ? '' : `${strings.engine.expected}: ${error.expected}.`,
            error.actual === undefined ? '' : `${strings.engine.actual}: ${error.actual}.`,
          ].join(' ')}
        </span>
      </p>
      {misfit === null ? null : (
        <button type="button" className="second-button" onClick={() => void stateFiles.readAgain()}>
          {words.readAgain}
        </button>
      )}
      <button type="button" className="quiet-button" onClick={() => stateFiles.dismiss()}>
        {words.dismiss}
      </button>
    </div>
  )
}
