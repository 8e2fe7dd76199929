/** Where a link leads, in words that its author cannot bend. */

export interface ShownHost {
  words: string
  /** The address reads as another one: it names a person before the host, or its host has letters that look like others. */
  isDeceptive: boolean
}

/** `address` is one that `safeLink` lets pass. */
export function shownHost(address: string): ShownHost {
  const url = new URL(address)
  if (url.protocol === 'mailto:') return { words: url.pathname, isDeceptive: false }
  // URL writes letters beyond ASCII in the host as "xn--": what looks like another host does not any more.
  const isLookAlike = url.hostname.split('.').some(label => label.startsWith('xn--'))
  return { words: url.host, isDeceptive: isLookAlike || url.username !== '' || url.password !== '' }
}
