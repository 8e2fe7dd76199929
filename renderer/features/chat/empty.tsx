import { useChats, useConnection, useEngine, useStores } from '../../app/stores.ts'
import { strings } from '../../app/strings.ts'
import { Mark } from '../../ui/mark.tsx'

/** A chat without messages: what Tern is, what to expect of the model, and ways to start. */
export function EmptyChat() {
  const { chats } = useStores()
  const model = useEngine(state => state.lastLoaded?.model ?? null)
  const connected = useConnection(state => state.phase === 'open')
  // Examples and the warning are about small models, such as the one that ships with the app.
  const isSmall = model !== null && model.parameterCount < 300e6

  const start = (example: string) => {
    void chats.send(example)
  }
  return (
    <section className="empty" aria-labelledby="empty-heading">
      <Mark className="empty-mark" />
      <h2 id="empty-heading">{strings.empty.heading}</h2>
      <p>{strings.empty.body}</p>
      {isSmall ? <p className="empty-honest">{strings.empty.honest(model.name)}</p> : null}
      <ul className="examples" aria-label={strings.empty.examplesLabel}>
        {strings.empty.examples.map(example => (
          <li key={example}>
            <button type="button" disabled={!connected} onClick={() => start(example)}>
              {example}
            </button>
          </li>
        ))}
      </ul>
      <TemporaryChoice />
    </section>
  )
}

/** Only before the first message: what has been written once cannot become unwritten. */
function TemporaryChoice() {
  const { chats } = useStores()
  const isNew = useChats(state => state.currentId === null)
  const isTemporary = useChats(state => state.isNewTemporary)
  if (!isNew) return null
  return (
    <label className="temporary-choice">
      <input
        type="checkbox"
        checked={isTemporary}
        aria-describedby="temporary-hint"
        onChange={event => chats.setNewTemporary(event.target.checked)}
      />
      <span>
        {strings.temporary.choose}
        <span id="temporary-hint">{strings.temporary.hint}</span>
      </span>
    </label>
  )
}
