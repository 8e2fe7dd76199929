/**
 * A reply's markdown, drawn while it streams. Streamdown splits it into blocks and redraws only the last one.
 * What a model writes is untrusted: raw HTML is shown as text, images are never fetched, and links open outside of the
 * app, to http(s) and mailto only. It does no syntax colouring and no mathematics.
 */
import { type ComponentProps, memo, useId } from 'react'
import { Block, type BlockProps, type Components, Streamdown } from 'streamdown'
import { strings } from '../../app/strings.ts'
import { CopyButton } from '../../ui/copy.tsx'
import { Growing, GrowingText } from './growing-text.tsx'
import { shownHost } from './link-target.ts'
import { prepareMarkdown } from './prepare-markdown.ts'

const LINK_PROTOCOLS = new Set(['http:', 'https:', 'mailto:'])

/** The address when it may be opened, else null. */
export function safeLink(href: unknown): string | null {
  if (typeof href !== 'string') return null
  try {
    // No base: relative and scheme-less addresses throw, and would lead into the app.
    return LINK_PROTOCOLS.has(new URL(href).protocol) ? href : null
  } catch {
    return null
  }
}

/** The part of a syntax tree that is used here. */
interface TreeNode {
  type: string
  value?: string
  tagName?: string
  properties?: Record<string, unknown>
  children?: TreeNode[]
}
type WithNode = { node?: unknown }

const textOf = (node: TreeNode): string =>
  node.type === 'text' ? (node.value ?? '') : (node.children ?? []).map(textOf).join('')

function CodeBlock({ node }: WithNode) {
  const headingId = useId()
  const code = ((node as TreeNode | undefined)?.children ?? []).find(child => child.tagName === 'code')
  if (code === undefined) return null
  const classes = code.properties?.className
  const language = Array.isArray(classes)
    ? classes
        .map(String)
        .find(name => name.startsWith('language-'))
        ?.slice('language-'.length)
    : undefined
  const text = textOf(code).replace(/\n$/, '')
  return (
    <figure className="code-block" aria-labelledby={headingId}>
      <figcaption>
        <span id={headingId}>{language ?? strings.markdown.code}</span>
        <CopyButton label={strings.markdown.copyCode} text={() => text} />
      </figcaption>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls sideways, so the keyboard must reach it */}
      <pre tabIndex={0}>
        <code>
          <GrowingText text={text} />
        </code>
      </pre>
    </figure>
  )
}

function Link({ href, children, node }: ComponentProps<'a'> & WithNode) {
  const address = safeLink(href)
  if (address === null) {
    const { properties } = (node as TreeNode | undefined) ?? {}
    // A way back from a footnote would lead nowhere here; its number is text.
    return properties?.dataFootnoteBackref === undefined ? <span>{children}</span> : null
  }
  const host = shownHost(address)
  return (
    <a
      href={address}
      title={address}
      target="_blank"
      rel="noreferrer noopener"
      className={host.isDeceptive ? 'link-deceptive' : undefined}
    >
      <Growing>{children}</Growing>
      {/* Seen under focus, on touch screens, and always where the address is not what it looks like. */}
      <span className="link-host">{host.words}</span>
    </a>
  )
}

function Table({ children }: ComponentProps<'table'> & WithNode) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls sideways, so the keyboard must reach it
    <section className="table-scroll" aria-label={strings.markdown.table} tabIndex={0}>
      <table>{children}</table>
    </section>
  )
}

function TaskBox({ checked }: ComponentProps<'input'> & WithNode) {
  const words = checked === true ? strings.markdown.done : strings.markdown.toDo
  return <input type="checkbox" checked={checked === true} aria-label={words} readOnly disabled />
}

/** Right-to-left text is told from its first strong letter, block by block. */
const block = (Tag: 'p' | 'ul' | 'blockquote' | 'h3' | 'h4' | 'h5' | 'h6') =>
  function Block({ children }: { children?: React.ReactNode } & WithNode) {
    return (
      <Tag dir="auto">
        <Growing>{children}</Growing>
      </Tag>
    )
  }

/** Cells are aligned by class: a style attribute would break the content security policy. */
const cell = (Tag: 'th' | 'td') =>
  function Cell({ children, node }: ComponentProps<'td'> & WithNode) {
    const align = (node as TreeNode | undefined)?.properties?.align
    return (
      <Tag dir="auto" className={typeof align === 'string' ? `align-${align}` : undefined}>
        <Growing>{children}</Growing>
      </Tag>
    )
  }

const plain = <K extends keyof React.JSX.IntrinsicElements>(Tag: K) =>
  function Plain({ children }: { children?: React.ReactNode } & WithNode) {
    const Element = Tag as React.ElementType
    return <Element>{children}</Element>
  }

/** What holds text itself, and no blocks alone. */
const text = (Tag: 'li' | 'strong' | 'em' | 'del' | 'code') =>
  function Words({ children }: { children?: React.ReactNode } & WithNode) {
    return (
      <Tag>
        <Growing>{children}</Growing>
      </Tag>
    )
  }

/** One object for the app's life: Streamdown keeps finished blocks only while this stays the same. */
const components = {
  a: Link,
  img: ({ alt }: ComponentProps<'img'> & WithNode) => (
    <span className="left-out">{strings.markdown.image(alt ?? '')}</span>
  ),
  pre: CodeBlock,
  inlineCode: text('code'),
  table: Table,
  thead: plain('thead'),
  tbody: plain('tbody'),
  tr: plain('tr'),
  th: cell('th'),
  td: cell('td'),
  // Below the window's own headings.
  h1: block('h3'),
  h2: block('h4'),
  h3: block('h5'),
  h4: block('h6'),
  h5: block('h6'),
  h6: block('h6'),
  p: block('p'),
  ul: block('ul'),
  ol: ({ children, start }: ComponentProps<'ol'> & WithNode) => (
    <ol dir="auto" start={start}>
      {children}
    </ol>
  ),
  li: text('li'),
  blockquote: block('blockquote'),
  hr: () => <hr />,
  strong: text('strong'),
  em: text('em'),
  del: text('del'),
  sup: plain('sup'),
  sub: plain('sub'),
  section: plain('section'),
  input: TaskBox,
} as Components

const urlTransform = (url: string) => safeLink(url) ?? ''
/** Without the plugin that parses raw HTML, it stays text. */
const noPlugins: never[] = []

/** A block of markdown beyond this is drawn as plain text: parsing it again for every token would stop the window. */
const MAX_BLOCK_CHARACTERS = 16_000
/** Its text in pieces, each laid out by itself. */
const PIECE_CHARACTERS = 2_000

function BlockOrPlain(props: BlockProps) {
  return props.content.length > MAX_BLOCK_CHARACTERS ? <PlainBlock text={props.content} /> : <Block {...props} />
}

function PlainBlock({ text }: { text: string }) {
  return (
    <div className="plain-block" dir="auto">
      {piecesOf(text).map(({ start, piece }) => (
        <p key={start}>
          <GrowingText text={piece} />
        </p>
      ))}
    </div>
  )
}

/** Cut where a space or a line's end is near; a piece never changes when text is added after it. */
export function piecesOf(text: string): { start: number; piece: string }[] {
  const pieces = []
  for (let start = 0; start < text.length; ) {
    const most = start + PIECE_CHARACTERS
    let end = text.length
    if (most < text.length) {
      const space = Math.max(text.lastIndexOf(' ', most - 1), text.lastIndexOf('\n', most - 1))
      end = space > start ? space + 1 : most
      // Never between the halves of one character.
      if (end === most && /[\ud800-\udbff]/.test(text[end - 1])) end -= 1
    }
    pieces.push({ start, piece: text.slice(start, end) })
    start = end
  }
  return pieces
}

export const Markdown = memo(function Markdown({ text, streaming }: { text: string; streaming: boolean }) {
  return (
    <Streamdown
      className="prose"
      mode="streaming"
      parseIncompleteMarkdown={streaming}
      components={components}
      rehypePlugins={noPlugins}
      urlTransform={urlTransform}
      controls={false}
      BlockComponent={BlockOrPlain}
    >
      {prepareMarkdown(text)}
    </Streamdown>
  )
})
