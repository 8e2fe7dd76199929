/** Line icons on a grid of 16, stroke 1.5, in the current colour. Always beside or inside something with a label. */

const PATHS = {
  attach: 'M11.8 6.4 7.2 11a1.9 1.9 0 0 1-2.7-2.7l5-5a3 3 0 0 1 4.2 4.2l-5.2 5.2a4.2 4.2 0 0 1-5.9-5.9l4.2-4.2',
  plus: 'M8 3v10M3 8h10',
  send: 'M8 13V3.5M3.8 7.6 8 3.4l4.2 4.2',
  stop: 'M5 4.5h6a.5.5 0 0 1 .5.5v6a.5.5 0 0 1-.5.5H5a.5.5 0 0 1-.5-.5V5a.5.5 0 0 1 .5-.5Z',
  copy: 'M6 5.5h6.5V13H6zM3.5 10.5V3H10',
  check: 'm3.5 8.5 3 3 6-7',
  again: 'M12.8 6.2A5 5 0 1 0 13 9.4M13 3v3.4H9.6',
  continue: 'M3 8h8.5M8.2 4.4 11.8 8l-3.6 3.6M13.5 3.5v9',
  branch:
    'M4.5 5.5v5M4.5 10.5a1.5 1.5 0 1 1 0 3 1.5 1.5 0 0 1 0-3ZM4.5 2.5a1.5 1.5 0 1 1 0 3 1.5 1.5 0 0 1 0-3ZM11.5 4.5a1.5 1.5 0 1 1 0 3 1.5 1.5 0 0 1 0-3ZM11.5 7.5c0 2-7 1.5-7 3',
  columns: 'M2.5 3.5h11v9h-11zM6.2 3.5v9M9.8 3.5v9',
  more: 'M3.5 8h.01M8 8h.01M12.5 8h.01',
  remove: 'M3 4.5h10M6.5 4.5V3h3v1.5M4.5 4.5 5 13h6l.5-8.5',
  edit: 'M10.5 3.2 12.8 5.5 5.6 12.7 2.8 13.2 3.3 10.4ZM9 4.7 11.3 7',
  before: 'M9.5 3.5 5 8l4.5 4.5',
  after: 'M6.5 3.5 11 8l-4.5 4.5',
  down: 'M8 3v9.5M3.8 8.4 8 12.6l4.2-4.2',
  chats: 'M2.5 3.5h11v9h-11zM6 3.5v9',
  instruments: 'M2.5 3.5h11v9h-11zM10 3.5v9',
  sun: 'M8 5.2a2.8 2.8 0 1 1 0 5.6 2.8 2.8 0 0 1 0-5.6ZM8 1.5v1M8 13.5v1M1.5 8h1M13.5 8h1M3.4 3.4l.7.7M11.9 11.9l.7.7M3.4 12.6l.7-.7M11.9 4.1l.7-.7',
  moon: 'M13 9.6A5.6 5.6 0 0 1 6.4 3 5.3 5.3 0 1 0 13 9.6Z',
  system: 'M8 2.5a5.5 5.5 0 1 1 0 11 5.5 5.5 0 0 1 0-11ZM8 2.5v11M8 5.5h3.9M8 8h5.4M8 10.5h3.9',
  keyboard: 'M1.8 4.5h12.4v7.5H1.8zM4.3 7h.01M6.8 7h.01M9.2 7h.01M11.7 7h.01M5 9.6h6',
  settings:
    'M2.5 4.5h6M11.5 4.5h2M8.5 4.5a1.5 1.5 0 1 0 3 0 1.5 1.5 0 0 0-3 0ZM2.5 11.5h2M7.5 11.5h6M4.5 11.5a1.5 1.5 0 1 0 3 0 1.5 1.5 0 0 0-3 0Z',
  search: 'M7 2.8a4.2 4.2 0 1 1 0 8.4 4.2 4.2 0 0 1 0-8.4ZM10.2 10.2l3.3 3.3',
  pin: 'M5.5 2.5h5M6.3 2.5v4L4 9.2h8L9.7 6.5v-4M8 9.2v4.3',
  folder: 'M2.5 12.5v-9h4l1.5 2h5.5v7z',
  archive: 'M2.5 3.5h11v3h-11zM3.5 6.5v6h9v-6M6.5 9h3',
  save: 'M8 2.8v7.4M4.6 7.2 8 10.6l3.4-3.4M3 13.2h10',
  close: 'm4 4 8 8M12 4l-8 8',
  alert: 'M8 2.5a5.5 5.5 0 1 1 0 11 5.5 5.5 0 0 1 0-11ZM8 5.2v3.4M8 10.8h.01',
} as const

export type IconName = keyof typeof PATHS

export function Icon({ name }: { name: IconName }) {
  return (
    <svg className="icon" data-icon={name} viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  )
}
