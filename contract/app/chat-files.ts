/** Chats as files: out in several forms, and in from Tern's own and other programs' archives. */
import * as v from 'valibot'
import { count, nothing } from '../words/numbers.ts'

/** Of a file that comes or goes in pieces: the line to the window carries JSON. */
export const MAX_PIECE_BYTES = 2 * 2 ** 20
const piece = v.pipe(v.string(), v.maxLength(MAX_PIECE_BYTES * 2), v.base64())

const uploadId = v.string()
const fileId = v.string()

const chatFileFormatSchema = v.picklist(['markdown', 'html', 'json', 'archive'])
export type ChatFileFormat = v.InferOutput<typeof chatFileFormatSchema>

/** Why something of a file is not taken in. */
const leaveOutReasonSchema = v.picklist([
  'parts-not-text',
  'tool-and-system-messages',
  'damaged-messages',
  'chats-without-messages',
  'damaged-chats',
  'chats-twice',
])
export type LeaveOutReason = v.InferOutput<typeof leaveOutReasonSchema>

/** What a file holds, before or after it was taken in. */
const importReportSchema = v.object({
  /** Whose file it is. */
  source: v.picklist(['tern', 'chatgpt', 'open-webui', 'lm-studio', 'jan']),
  chats: count,
  messages: count,
  /** Chats that are here already: left as they are. */
  knownChats: count,
  /** What cannot be taken in, with the reason and how many. */
  leftOut: v.array(v.object({ reason: leaveOutReasonSchema, count })),
})
export type ImportReport = v.InferOutput<typeof importReportSchema>

export const chatFilesPart = {
  calls: {
    /** Room for a file that comes in pieces; it is forgotten when it is not used for some minutes. */
    'files.begin': { params: nothing, result: uploadId },
    'files.add': { params: v.object({ uploadId, piece: v.union([piece, v.literal('')]) }), result: nothing },
    /** What the file holds; nothing is changed. */
    'files.read': { params: v.object({ uploadId }), result: importReportSchema },
    /** Takes its chats in, but for those that are here already. */
    'files.import': { params: v.object({ uploadId }), result: importReportSchema },
    /** Makes a file of a chat, or of all as an archive (`chatId` null), to be fetched piece by piece. */
    'files.export': {
      params: v.object({ chatId: v.nullable(v.string()), format: chatFileFormatSchema }),
      result: v.object({ fileId, fileName: v.string(), mediaType: v.string(), pieceCount: count }),
    },
    /** The last one ends the file's time here. */
    'files.piece': { params: v.object({ fileId, index: count }), result: v.union([piece, v.literal('')]) },
  },
  streams: {},
} as const
