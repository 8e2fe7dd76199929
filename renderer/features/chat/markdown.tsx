/**
 * A reply's markdown, drawn while it streams. Streamdown splits it into blocks and redraws only the last one.
 * What a model writes is untrusted: raw HTML is shown as text, images are never fetched, and links open outside of the
 * app, to http(s) and mailto only. It does no syntax colouring and no mathematics.
 */
import { type ComponentProps, memo, useId } from 'react'
import { type Components, Streamdown } from 'streamdown'
import { strings } from '../../app/strings.ts'
import { CopyButton } from '../../ui/copy.tsx'

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
        <code>{text}</code>
      </pre>
    </figure>
  )
}

function Link({ href, children }: ComponentProps<'a'> & WithNode) {
  const address = safeLink(href)
  if (address === null) return <span>{children}</span>
  return (
    <a href={address} title={address} target="_blank" rel="noreferrer noopener">
      {children}
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
  return <input type="checkbox" checked={checked === true} readOnly disabled />
}

/** Right-to-left text is told from its first strong letter, block by block. */
const block = (Tag: 'p' | 'ul' | 'blockquote' | 'h3' | 'h4' | 'h5' | 'h6') =>
  function Block({ children }: { children?: React.ReactNode } & WithNode) {
    return <Tag dir="auto">{children}</Tag>
  }

/** Cells are aligned by class: a style attribute would break the content security policy. */
const cell = (Tag: 'th' | 'td') =>
  function Cell({ children, node }: ComponentProps<'td'> & WithNode) {
    const align = (node as TreeNode | undefined)?.properties?.align
    return (
      <Tag dir="auto" className={typeof align === 'string' ? `align-${align}` : undefined}>
        {children}
      </Tag>
    )
  }

const plain = <K extends keyof React.JSX.IntrinsicElements>(Tag: K) =>
  function Plain({ children }: { children?: React.ReactNode } & WithNode) {
    const Element = Tag as React.ElementType
    return <Element>{children}</Element>
  }

/** One object for the app's life: Streamdown keeps finished blocks only while this stays the same. */
const components = {
  a: Link,
  img: ({ alt }: ComponentProps<'img'> & WithNode) => (
    <span className="left-out">{strings.markdown.image(alt ?? '')}</span>
  ),
  pre: CodeBlock,
  inlineCode: plain('code'),
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
  li: plain('li'),
  blockquote: block('blockquote'),
  hr: () => <hr />,
  strong: plain('strong'),
  sup: plain('sup'),
  sub: plain('sub'),
  section: plain('section'),
  input: TaskBox,
} as Components

const urlTransform = (url: string) => safeLink(url) ?? ''
/** Without the plugin that parses raw HTML, it stays text. */
const noPlugins: never[] = []

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
    >
      {text}
    </Streamdown>
  )
})
