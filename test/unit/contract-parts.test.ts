/** The contracts are written in parts: no name twice, none lost, and none that is call and stream at once. */
import { describe, expect, it } from 'vitest'
import { appPart } from '../../contract/app/app.ts'
import { chatFilesPart } from '../../contract/app/chat-files.ts'
import { chatsPart } from '../../contract/app/chats.ts'
import { enginePart } from '../../contract/app/engine.ts'
import { powerPart } from '../../contract/app/power.ts'
import { statesPart } from '../../contract/app/states.ts'
import { appApi } from '../../contract/app-api.ts'
import { eventsPart } from '../../contract/engine/events.ts'
import { modelPart } from '../../contract/engine/model.ts'
import { sessionPart } from '../../contract/engine/session.ts'
import { workPart } from '../../contract/engine/work.ts'
import { engineApi } from '../../contract/engine-api.ts'

interface Part {
  calls: object
  streams: object
}
const namesOf = (part: Part): string[] => [...Object.keys(part.calls), ...Object.keys(part.streams)]
const namesTwice = (parts: Part[]): string[] => {
  const names = parts.flatMap(namesOf)
  return names.filter((name, i) => names.indexOf(name) !== i)
}

describe.each([
  ['app', appApi, [appPart, enginePart, chatsPart, powerPart, statesPart, chatFilesPart]],
  ['engine', engineApi, [eventsPart, modelPart, sessionPart, workPart]],
])('the %s contract', (_, api, parts) => {
  it('has each name once', () => {
    expect(namesTwice(parts)).toEqual([])
  })

  it('is exactly its parts', () => {
    expect(namesOf(api).sort()).toEqual(parts.flatMap(namesOf).sort())
  })
})

it('a name in two parts, or a call and a stream of one name, would be found', () => {
  expect(namesTwice([chatsPart, { calls: { 'chat.send': {} }, streams: {} }])).toEqual(['chat.send'])
  expect(namesTwice([{ calls: { same: {} }, streams: { same: {} } }])).toEqual(['same'])
})
