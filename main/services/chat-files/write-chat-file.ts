/** A chat as a file to read (the branch that is shown) or to keep (all of it). Pure. */
import { strToU8, zipSync } from 'fflate'
import type { MessageNode } from '../chats/ports.ts'
import type { StoredChat } from './ports.ts'
import { ternChat } from './tern-format.ts'

/** From the first message to the leaf that is shown. */
function shownPath({ chat, messages }: StoredChat): MessageNode[] {
  const byId = new Map(messages.map(message => [message.id, message]))
  const path: MessageNode[] = []
  for (let at = byId.get(chat.activeLeafId ?? ''); at !== undefined; at = byId.get(at.parentId ?? '')) path.push(at)
  return path.reverse()
}

const speakerOf = ({ role }: MessageNode): string => (role === 'user' ? 'You' : 'Tern')

export function chatMarkdown(stored: StoredChat): string {
  const body = shownPath(stored).map(message => `## ${speakerOf(message)}\n\n${message.content.trim()}\n`)
  return `# ${stored.chat.title.replace(/\s+/g, ' ')}\n\n${body.join('\n')}`
}

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')

const HTML_STYLE =
  'body{max-width:40rem;margin:2rem auto;padding:0 1rem;font:1rem/1.6 system-ui,sans-serif;color-scheme:light dark}' +
  'section{margin:1.5rem 0;white-space:pre-wrap;overflow-wrap:anywhere}h2{font-size:.875rem;margin:0 0 .25rem;opacity:.7}' +
  '.you{border-inline-start:2px solid #0a6488;padding-inline-start:1rem;font-weight:600}'

/** A page that needs nothing else: text as it was written, no script, nothing from elsewhere. */
export function chatHtml(stored: StoredChat): string {
  const title = escaped(stored.chat.title)
  const body = shownPath(stored).map(message => {
    const kind = message.role === 'user' ? 'you' : 'tern'
    return `<section class="${kind}"><h2>${speakerOf(message)}</h2>${escaped(message.content.trim())}</section>`
  })
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${title}</title>
<style>${HTML_STYLE}</style>
<h1>${title}</h1>
${body.join('\n')}
</html>
`
}

export const chatJson = (stored: StoredChat): string => `${JSON.stringify(ternChat(stored), null, 2)}\n`

/** All chats in one zip, a file each; it is taken in again without loss. */
export function archiveOf(chats: readonly StoredChat[], atMs: number): Uint8Array {
  const files = Object.fromEntries(chats.map(stored => [`chats/${stored.chat.id}.json`, strToU8(chatJson(stored))]))
  return zipSync(files, { level: 6, mtime: atMs })
}

/** Fit for every file system. */
export function fileNameOf(title: string, end: string): string {
  const name = title
    .replace(/[\\/:*?"<>|\p{Cc}]+|\.{2,}/gu, ' ')
    .replace(/\s+/g, ' ')
    .trim()
    .replace(/^[. ]+|[. ]+$/g, '')
  const short = Array.from(name).slice(0, 80).join('')
  // Some systems keep these for devices.
  return `${short === '' || /^(con|prn|aux|nul|com\d|lpt\d)$/i.test(short) ? 'chat' : short}.${end}`
}
