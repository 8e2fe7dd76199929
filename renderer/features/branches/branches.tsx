/** The map of the open chat, once it has more than one branch: where they part, where the reader is, and ways to the others. */
import { useEffect, useMemo, useState } from 'react'
import type { Chat, MapNode } from '../../../contract/app/chats.ts'
import { useChats, useStores } from '../../app/stores.ts'
import { strings } from '../../app/strings.ts'
import { isReplying } from '../../stores/chats.ts'
import { drawMessagesFrom } from '../chat/drawn-messages.ts'
import { branchMap, countBranches, type MapRow } from './branch-map.ts'

/** More rows are no map any more: these are the last. */
const MAX_ROWS = 200

export function Branches() {
  const chatId = useChats(state => state.chat?.id ?? null)
  const shape = useChats(state => shapeOf(state.chat))
  const leafId = useChats(state => state.chat?.messages.at(-1)?.id ?? null)
  const nodes = useMap(chatId, shape)
  const rows = useMemo(() => branchMap(nodes, leafId), [nodes, leafId])
  const branches = countBranches(nodes)
  if (branches < 2) return null
  const from = Math.max(0, rows.length - MAX_ROWS)
  return (
    <section className="instrument branches" aria-labelledby="branches-heading">
      <h2 id="branches-heading">
        {strings.branches.heading}
        <span>{strings.branches.count(branches)}</span>
      </h2>
      {from === 0 ? null : <p className="branches-cut">{strings.branches.cut(from)}</p>}
      <Rows rows={rows} from={from} />
    </section>
  )
}

/** Changes when messages come, go, or are shown in another version. */
function shapeOf(chat: Chat | null): string {
  if (chat === null) return ''
  const versions = chat.messages.reduce((sum, message) => sum + message.versions.length, 0)
  const compared = chat.comparison?.replies.length ?? 0
  return `${chat.messages.at(-1)?.id} ${chat.messages.length} ${versions} ${compared}`
}

/** Asked for anew when the shape changes, and where a reply has ended, since its first words are known then. */
function useMap(chatId: string | null, shape: string): readonly MapNode[] {
  const { connection } = useStores()
  const replying = useChats(isReplying)
  const [map, setMap] = useState<{ chatId: string | null; nodes: readonly MapNode[] }>({ chatId: null, nodes: [] })
  // biome-ignore lint/correctness/useExhaustiveDependencies: these are the occasions
  useEffect(() => {
    if (chatId === null) return
    let isWanted = true
    connection.client.call('chat.map', { chatId }).then(
      nodes => isWanted && setMap({ chatId, nodes }),
      // Without a line the map stays as it was.
      () => {},
    )
    return () => {
      isWanted = false
    }
  }, [connection, chatId, shape, replying])
  return map.chatId === chatId ? map.nodes : []
}

const ROW_REM = 2
const LANE_REM = 1
const LEFT_REM = 0.5

function Rows({ rows, from }: { rows: readonly MapRow[]; from: number }) {
  const shown = rows.slice(from)
  const depth = Math.max(...shown.map(({ lane }) => lane))
  return (
    <ol className="branches-rows">
      <li aria-hidden="true" className="branches-lines">
        <svg
          aria-hidden="true"
          width={`${LEFT_REM * 2 + depth * LANE_REM}rem`}
          height={`${shown.length * ROW_REM}rem`}
          viewBox={`0 0 ${LEFT_REM * 2 + depth * LANE_REM} ${shown.length * ROW_REM}`}
        >
          {shown.map((row, index) => (
            <Line key={row.id} row={row} index={index} from={row.from === null ? null : row.from - from} rows={rows} />
          ))}
        </svg>
      </li>
      {shown.map(row => (
        <Row key={row.id} row={row} />
      ))}
    </ol>
  )
}

const xOf = (lane: number) => LEFT_REM + lane * LANE_REM
const yOf = (index: number) => (index + 0.5) * ROW_REM

/** From the row above down its lane, and over to this one's just before it. */
function Line({
  row,
  index,
  from,
  rows,
}: {
  row: MapRow
  index: number
  from: number | null
  rows: readonly MapRow[]
}) {
  const [x, y] = [xOf(row.lane), yOf(index)]
  const above = row.from === null ? null : rows[row.from]
  const startX = above === null ? x : xOf(above.lane)
  const turn = y - ROW_REM * 0.75
  const path =
    from === null
      ? null
      : startX === x
        ? `M${x} ${yOf(from)}V${y}`
        : `M${startX} ${Math.min(yOf(from), turn)}V${turn}C${startX} ${y - 0.5} ${x} ${turn + 0.25} ${x} ${y}`
  return (
    <g data-shown={row.isShown}>
      {path === null ? null : <path d={path} />}
      <circle cx={x} cy={y} r={row.isHere ? 0.3125 : 0.21875} data-here={row.isHere} />
    </g>
  )
}

function Row({ row }: { row: MapRow }) {
  const { chats } = useStores()
  const replying = useChats(isReplying)
  const words = strings.branches
  const opening = row.opening === '' ? words.noWords : row.opening
  const go = () => {
    if (row.isShown) goTo(row.id)
    else void chats.select(row.id)
  }
  return (
    <li style={{ paddingLeft: `${LEFT_REM * 2 + row.lane * LANE_REM}rem` }}>
      <button
        type="button"
        data-shown={row.isShown}
        data-role={row.role}
        aria-current={row.isHere ? 'true' : undefined}
        // A chat in which a reply is written stays where it is.
        aria-disabled={!row.isShown && replying}
        title={row.isShown ? words.goTo : replying ? strings.composer.busy : words.show}
        onClick={!row.isShown && replying ? undefined : go}
      >
        <span className="branches-opening">{row.isHere ? words.here(opening) : opening}</span>
        {row.folded === 0 ? null : <span className="branches-folded">{words.folded(row.folded)}</span>}
      </button>
    </li>
  )
}

function goTo(messageId: string): void {
  drawMessagesFrom(0)
  document.querySelector(`[data-message="${CSS.escape(messageId)}"]`)?.scrollIntoView({ block: 'start' })
}
