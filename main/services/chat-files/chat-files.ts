/** Exports chats as files and takes files in: a dry run first, and nothing twice. */
import type { ChatFileFormat, ImportReport } from '../../../contract/app/chat-files.ts'
import { MAX_PIECE_BYTES } from '../../../contract/app/chat-files.ts'
import { TernError } from '../../../contract/errors.ts'
import type { NewId } from '../../ids.ts'
import type { Cancel, Time } from '../../time.ts'
import { withOwnMessageIds } from './foreign-formats.ts'
import type { ChatLibrary, StoredChat } from './ports.ts'
import { type ReadFile, readChatFile, tooLarge } from './read-chat-file.ts'
import { archiveOf, chatHtml, chatJson, chatMarkdown, fileNameOf } from './write-chat-file.ts'

const MAX_FILE_BYTES = 512 * 2 ** 20
/** A file that nobody asks for any more is forgotten. */
const KEEP_FILE_MS = 10 * 60_000

interface Upload {
  pieces: Uint8Array[]
  bytes: number
  read: ReadFile | null
  forget: Cancel
}

interface Made {
  bytes: Uint8Array
  forget: Cancel
}

export class ChatFiles {
  private readonly library: ChatLibrary
  private readonly time: Time
  private readonly newId: NewId
  private readonly uploads = new Map<string, Upload>()
  private readonly made = new Map<string, Made>()

  constructor(library: ChatLibrary, time: Time, newId: NewId) {
    this.library = library
    this.time = time
    this.newId = newId
  }

  begin(): string {
    const uploadId = this.newId()
    this.uploads.set(uploadId, { pieces: [], bytes: 0, read: null, forget: this.forgetLater(uploadId) })
    return uploadId
  }

  /** Throws `limit-exceeded`. */
  add(uploadId: string, base64: string): void {
    const upload = this.upload(uploadId)
    const piece = Buffer.from(base64, 'base64')
    upload.bytes += piece.byteLength
    if (upload.bytes > MAX_FILE_BYTES) {
      this.drop(uploadId)
      throw tooLarge()
    }
    upload.pieces.push(piece)
  }

  /** Throws `format-invalid`, `limit-exceeded`. */
  read(uploadId: string): ImportReport {
    const { source, chats, leftOut } = this.contentOf(uploadId)
    const unknown = chats.filter(({ chat }) => !this.library.has(chat.id))
    return reportOf(source, unknown, chats.length - unknown.length, leftOut)
  }

  /** All of a chat or nothing of it; what was taken in before a failure stays. */
  async import(uploadId: string): Promise<ImportReport> {
    const { source, chats, leftOut } = this.contentOf(uploadId)
    const taken: StoredChat[] = []
    for (const stored of chats) {
      if (this.library.has(stored.chat.id)) continue
      await this.adopt(stored)
      taken.push(stored)
    }
    this.drop(uploadId)
    return reportOf(source, taken, chats.length - taken.length, leftOut)
  }

  /** An id of a message may stand in another chat that is here; what else failed fails again. */
  private async adopt(stored: StoredChat): Promise<void> {
    try {
      await this.library.adopt(stored)
    } catch {
      await this.library.adopt(withOwnMessageIds(stored))
    }
  }

  /** Throws `chat-not-found`. */
  async export(chatId: string | null, format: ChatFileFormat) {
    const { bytes, fileName, mediaType } = chatId === null ? await this.archive() : await this.file(chatId, format)
    const fileId = this.newId()
    const forget = this.time.after(KEEP_FILE_MS, () => this.made.delete(fileId))
    this.made.set(fileId, { bytes, forget })
    return { fileId, fileName, mediaType, pieceCount: Math.ceil(bytes.byteLength / MAX_PIECE_BYTES) }
  }

  /** As base64. */
  piece(fileId: string, index: number): string {
    const made = this.made.get(fileId)
    if (made === undefined) throw fileGone()
    const start = index * MAX_PIECE_BYTES
    if (start + MAX_PIECE_BYTES >= made.bytes.byteLength) {
      made.forget()
      this.made.delete(fileId)
    }
    return Buffer.from(made.bytes.subarray(start, start + MAX_PIECE_BYTES)).toString('base64')
  }

  private async archive() {
    const chats: StoredChat[] = []
    for (const id of await this.library.ids()) {
      const stored = await this.library.read(id)
      if (stored !== null) chats.push(stored)
    }
    const day = new Date(this.time.wallMs()).toISOString().slice(0, 10)
    const bytes = archiveOf(chats, this.time.wallMs())
    return { bytes, fileName: `tern-chats-${day}.zip`, mediaType: 'application/zip' }
  }

  private async file(chatId: string, format: ChatFileFormat) {
    const stored = await this.library.read(chatId)
    if (stored === null) throw new TernError({ code: 'chat-not-found', message: 'This chat does not exist any more.' })
    const { title } = stored.chat
    const whole = (text: string, end: string, mediaType: string) => {
      return { bytes: new TextEncoder().encode(text), fileName: fileNameOf(title, end), mediaType }
    }
    switch (format) {
      case 'markdown':
        return whole(chatMarkdown(stored), 'md', 'text/markdown')
      case 'html':
        return whole(chatHtml(stored), 'html', 'text/html')
      case 'json':
        return whole(chatJson(stored), 'json', 'application/json')
      case 'archive':
        return {
          bytes: archiveOf([stored], this.time.wallMs()),
          fileName: fileNameOf(title, 'zip'),
          mediaType: 'application/zip',
        }
    }
  }

  private contentOf(uploadId: string): ReadFile {
    const upload = this.upload(uploadId)
    upload.read ??= readChatFile(Buffer.concat(upload.pieces))
    return upload.read
  }

  private upload(uploadId: string): Upload {
    const upload = this.uploads.get(uploadId)
    if (upload !== undefined) return upload
    throw fileGone()
  }

  private drop(uploadId: string): void {
    this.uploads.get(uploadId)?.forget()
    this.uploads.delete(uploadId)
  }

  private forgetLater(uploadId: string): Cancel {
    return this.time.after(KEEP_FILE_MS, () => this.uploads.delete(uploadId))
  }
}

const reportOf = (
  source: ReadFile['source'],
  chats: readonly StoredChat[],
  knownChats: number,
  leftOut: ReadFile['leftOut'],
): ImportReport => ({
  source,
  chats: chats.length,
  messages: chats.reduce((sum, { messages }) => sum + messages.length, 0),
  knownChats,
  leftOut,
})

const fileGone = () =>
  new TernError({ code: 'invalid-argument', message: 'This file is not here any more.', remedy: 'Choose it again.' })
