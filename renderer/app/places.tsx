/** The places beside the conversation: each with a row at the foot of the list of chats, an address, and a page. */
import type { ComponentType } from 'react'
import { Settings } from '../features/settings/settings.tsx'
import { type Place, SIDE_PLACES, type SidePlace } from '../stores/navigation.ts'
import { Icon, type IconName } from '../ui/icons.tsx'
import { useNavigation, useStores } from './stores.ts'
import { strings } from './strings.ts'

interface PlaceRow {
  icon: IconName
  label: () => string
  Page: ComponentType
}

const ROWS: Readonly<Record<SidePlace, PlaceRow>> = {
  settings: { icon: 'settings', label: () => strings.settings.heading, Page: Settings },
}

/** null: the conversation. */
export const placeRow = (place: Place): PlaceRow | null => (place === 'chat' ? null : ROWS[place])

export function PlaceRows({ onPick }: { onPick(): void }) {
  const { navigation } = useStores()
  const current = useNavigation(state => state.place)
  return (
    <nav aria-label={strings.places.region}>
      <ul className="places">
        {SIDE_PLACES.map(place => (
          <li key={place}>
            <button
              type="button"
              aria-current={current === place ? 'page' : undefined}
              onClick={() => {
                navigation.go(place)
                onPick()
              }}
            >
              <Icon name={ROWS[place].icon} />
              {ROWS[place].label()}
            </button>
          </li>
        ))}
      </ul>
    </nav>
  )
}
