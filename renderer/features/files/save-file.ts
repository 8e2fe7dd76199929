/** Hands bytes to the browser as a file to be saved. */
export function saveFile(name: string, bytes: Uint8Array): void {
  const url = URL.createObjectURL(new Blob([bytes.slice()], { type: 'application/octet-stream' }))
  const link = document.createElement('a')
  link.href = url
  link.download = name
  link.click()
  // The browser has its own hold on it when it begins to save.
  setTimeout(() => URL.revokeObjectURL(url), 60_000)
}

/** A name that every file system takes. */
export function fileNameOf(title: string, ending: string): string {
  const plain = title.replace(/[\p{Cc}/\\:*?"<>|.]+/gu, ' ').replace(/\s+/g, ' ')
  return `${Array.from(plain).slice(0, 60).join('').trim() || 'chat'}.${ending}`
}
