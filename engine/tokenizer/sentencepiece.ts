/**
 * A SentencePiece `tokenizer.model` (protobuf) as an equivalent Hugging Face tokenizer.json: BPE as the Llama models
 * have it, and Unigram. The file is not trusted: every length is checked before it is used.
 * Where SentencePiece takes the leftmost of equal merges of one piece, BPE by merge ranks takes the one with the
 * longer left half, as in transformers; texts of endless repetitions can differ in it.
 * Does not read normalisation tables (precompiled_charsmap), word and character models.
 * Sources: google/sentencepiece, src/sentencepiece_model.proto; transformers, convert_slow_tokenizer.py.
 */
import { EngineError } from '../errors.ts'
import { MAX_CONFIG } from '../model/config.ts'

const LIMITS = {
  fileBytes: 16 << 20,
  pieces: MAX_CONFIG.vocabularySize,
  /** UTF-16 units. */
  pieceLength: 256,
} as const

const PIECE_TYPE = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const
const MODEL_TYPE = { unigram: 1, bpe: 2 } as const
const SPACE_MARK = '▁'

interface Piece {
  text: string
  score: number
  type: number
}

interface SentencePieceModel {
  pieces: Piece[]
  modelType: number
  byteFallback: boolean
  whitespaceAsSuffix: boolean
  addDummyPrefix: boolean
  removeExtraWhitespaces: boolean
  escapeWhitespaces: boolean
  hasCharsMap: boolean
}

/**
 * The result is plain JSON for createTokenizer. `extraTokens` by id are those that a folder adds to the model's own; their
 * missing properties are off. Throws `tokenizer-invalid`, `tokenizer-unsupported`.
 */
export function sentencePieceToTokenizerJson(
  bytes: Uint8Array,
  extraTokens: Readonly<Record<string, { content: string }>> = {},
): unknown {
  const model = readModel(bytes)
  if (model.hasCharsMap) throw unsupported('It normalises text by a table of its own (precompiled_charsmap).')
  if (model.whitespaceAsSuffix) throw unsupported('It writes spaces behind words (treat_whitespace_as_suffix).')
  const unknownId = model.pieces.findIndex(piece => piece.type === PIECE_TYPE.unknown)
  if (unknownId < 0) throw invalid('It has no piece for unknown text.')
  const space = model.escapeWhitespaces ? SPACE_MARK : ' '
  const added = addedTokens(model.pieces)
  for (const [id, token] of Object.entries(extraTokens)) {
    // Folders list the model's own special tokens again.
    if (!added.has(Number(id))) added.set(Number(id), { ...PLAIN_TOKEN, ...token, id: Number(id) })
  }
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [...added.values()],
    normalizer: { type: 'Sequence', normalizers: normalizers(model, space) },
    pre_tokenizer: null,
    post_processor: null,
    decoder: { type: 'Sequence', decoders: decoders(model, space) },
    model: wordModel(model, unknownId),
  }
}

function wordModel(model: SentencePieceModel, unknownId: number): unknown {
  if (model.modelType === MODEL_TYPE.unigram) {
    return {
      type: 'Unigram',
      unk_id: unknownId,
      vocab: model.pieces.map(piece => [piece.text, piece.score]),
      byte_fallback: model.byteFallback,
    }
  }
  if (model.modelType !== MODEL_TYPE.bpe) throw unsupported('It is neither a BPE nor a Unigram model.')
  return {
    type: 'BPE',
    dropout: null,
    unk_token: model.pieces[unknownId].text,
    continuing_subword_prefix: null,
    end_of_word_suffix: null,
    fuse_unk: true,
    byte_fallback: model.byteFallback,
    ignore_merges: false,
    vocab: Object.fromEntries(model.pieces.map((piece, id) => [piece.text, id])),
    merges: merges(model.pieces),
  }
}

/**
 * SentencePiece merges the two neighbours whose union is the best piece. So every way to halve a piece into pieces is
 * a merge, ranked by the piece's score; of halves of one piece those with the longer left part come first.
 */
function merges(pieces: Piece[]): [string, string][] {
  const mergeable = new Set<string>()
  for (const { text, type } of pieces) {
    const isTextWithSpaces = type === PIECE_TYPE.userDefined && text.includes(SPACE_MARK)
    if (type === PIECE_TYPE.normal || isTextWithSpaces) mergeable.add(text)
  }
  const found: { left: string; right: string; score: number; length: number }[] = []
  for (const { text, score } of pieces) {
    if (!mergeable.has(text)) continue
    let length = 0
    for (let cut = 0; cut < text.length; length++) {
      cut += (text.codePointAt(cut) ?? 0) > 0xffff ? 2 : 1
      if (cut >= text.length) break
      const left = text.slice(0, cut)
      const right = text.slice(cut)
      if (mergeable.has(left) && mergeable.has(right)) found.push({ left, right, score, length })
    }
  }
  // Array sort is stable: equal scores keep the order of ids.
  found.sort((a, b) => b.score - a.score || b.length - a.length)
  return found.map(({ left, right }) => [left, right])
}

const PLAIN_TOKEN = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: false }

/** By id. */
function addedTokens(pieces: Piece[]): Map<number, unknown> {
  const added = new Map<number, unknown>()
  for (const [id, { text, type }] of pieces.entries()) {
    const special = type === PIECE_TYPE.unknown || type === PIECE_TYPE.control
    // User-defined runs of spaces are written with the space mark, which text does not have before normalisation.
    if (!special && (type !== PIECE_TYPE.userDefined || text.includes(SPACE_MARK))) continue
    added.set(id, { ...PLAIN_TOKEN, id, content: text, special })
  }
  return added
}

function normalizers(model: SentencePieceModel, space: string): unknown[] {
  const list: unknown[] = []
  if (model.removeExtraWhitespaces) {
    list.push({ type: 'Replace', pattern: { Regex: '\\A +| +\\z' }, content: '' })
    list.push({ type: 'Replace', pattern: { Regex: ' {2,}' }, content: ' ' })
  }
  if (model.addDummyPrefix) list.push({ type: 'Prepend', prepend: space })
  if (model.escapeWhitespaces) list.push({ type: 'Replace', pattern: { String: ' ' }, content: SPACE_MARK })
  return list
}

function decoders(model: SentencePieceModel, space: string): unknown[] {
  const list: unknown[] = []
  if (space !== ' ') list.push({ type: 'Replace', pattern: { String: space }, content: ' ' })
  if (model.byteFallback) list.push({ type: 'ByteFallback' })
  list.push({ type: 'Fuse' })
  if (model.addDummyPrefix) list.push({ type: 'Strip', content: ' ', start: 1, stop: 0 })
  return list
}

function readModel(bytes: Uint8Array): SentencePieceModel {
  if (bytes.length > LIMITS.fileBytes) throw invalid(`It is larger than ${LIMITS.fileBytes} bytes.`)
  const model: SentencePieceModel = {
    pieces: [],
    modelType: MODEL_TYPE.unigram,
    byteFallback: false,
    whitespaceAsSuffix: false,
    addDummyPrefix: true,
    removeExtraWhitespaces: true,
    escapeWhitespaces: true,
    hasCharsMap: false,
  }
  const texts = new Set<string>()
  for (const { field, bytes: message } of fields(bytes)) {
    if (message === null) continue
    if (field === 1) {
      if (model.pieces.length >= LIMITS.pieces) throw invalid(`It has more than ${LIMITS.pieces} pieces.`)
      const piece = readPiece(message)
      if (texts.has(piece.text)) throw invalid(`The piece ${JSON.stringify(piece.text)} is there twice.`)
      texts.add(piece.text)
      model.pieces.push(piece)
    } else if (field === 2) readTrainerSpec(message, model)
    else if (field === 3) readNormalizerSpec(message, model)
  }
  if (model.pieces.length === 0) throw invalid('It has no pieces.')
  return model
}

function readPiece(message: Uint8Array): Piece {
  const piece: Piece = { text: '', score: 0, type: PIECE_TYPE.normal }
  for (const { field, bytes, number } of fields(message)) {
    if (field === 1 && bytes !== null) piece.text = decodeText(bytes)
    else if (field === 2 && bytes?.length === 4)
      piece.score = new DataView(bytes.buffer, bytes.byteOffset, 4).getFloat32(0, true)
    else if (field === 3) piece.type = number
  }
  if (piece.text === '' || piece.text.length > LIMITS.pieceLength) throw invalid('A piece is empty or too long.')
  if (!Number.isFinite(piece.score)) throw invalid(`The piece ${JSON.stringify(piece.text)} has no finite score.`)
  return piece
}

function readTrainerSpec(message: Uint8Array, model: SentencePieceModel): void {
  for (const { field, number } of fields(message)) {
    if (field === 3) model.modelType = number
    else if (field === 24) model.whitespaceAsSuffix = number !== 0
    else if (field === 35) model.byteFallback = number !== 0
  }
}

function readNormalizerSpec(message: Uint8Array, model: SentencePieceModel): void {
  for (const { field, bytes, number } of fields(message)) {
    if (field === 2) model.hasCharsMap = bytes !== null && bytes.length > 0
    else if (field === 3) model.addDummyPrefix = number !== 0
    else if (field === 4) model.removeExtraWhitespaces = number !== 0
    else if (field === 5) model.escapeWhitespaces = number !== 0
  }
}

interface Field {
  field: number
  /** The content of a message, string or fixed-width number; null for a varint. */
  bytes: Uint8Array | null
  /** The value of a varint, else 0. */
  number: number
}

/** Fields of one protobuf message, in order. Views into `message`, nothing is copied. */
function* fields(message: Uint8Array): Generator<Field> {
  let at = 0
  const varint = (): number => {
    let value = 0
    for (let scale = 1, i = 0; i < 10; i++, scale *= 128) {
      if (at >= message.length) throw invalid('It ends in the middle of a number.')
      const byte = message[at++]
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
    }
    throw invalid('A number in it has no end.')
  }
  const take = (length: number): Uint8Array => {
    if (length > message.length - at) throw invalid('It ends in the middle of a field.')
    at += length
    return message.subarray(at - length, at)
  }
  while (at < message.length) {
    const key = varint()
    const field = Math.floor(key / 8)
    if (field === 0) throw invalid('A field in it has no number.')
    switch (key % 8) {
      case 0:
        yield { field, bytes: null, number: varint() }
        break
      case 1:
        yield { field, bytes: take(8), number: 0 }
        break
      case 2:
        yield { field, bytes: take(varint()), number: 0 }
        break
      case 5:
        yield { field, bytes: take(4), number: 0 }
        break
      default:
        throw invalid('A field in it has an unknown form.')
    }
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function decodeText(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes)
  } catch {
    throw invalid('A piece in it is not UTF-8.')
  }
}

const invalid = (what: string): EngineError =>
  new EngineError('tokenizer-invalid', `tokenizer.model is damaged or no SentencePiece model. ${what}`, {
    remedy: 'Download the model folder again.',
  })

const unsupported = (what: string): EngineError =>
  new EngineError('tokenizer-unsupported', `This tokenizer.model is not supported. ${what}`, {
    remedy: 'Put the tokenizer.json of the same model into the folder.',
  })
