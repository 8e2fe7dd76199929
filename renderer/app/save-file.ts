/** Hands a file to the reader's system, as a download. */
export function saveFile(pieces: Uint8Array[], fileName: string, mediaType: string): void {
  const url = URL.createObjectURL(new Blob(pieces as Uint8Array<ArrayBuffer>[], { type: mediaType }))
  const link = document.createElement('a')
  link.href = url
  link.download = fileName
  link.click()
  // The download has begun when this task has ended.
  setTimeout(() => URL.revokeObjectURL(url), 60_000)
}
