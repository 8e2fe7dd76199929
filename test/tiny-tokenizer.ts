/** Small tokenizer.json files for tests, whole or broken in one place. */

export interface TinyTokenizer {
  added_tokens: Record<string, unknown>[]
  normalizer: unknown
  pre_tokenizer: unknown
  decoder: unknown
  model: Record<string, unknown>
  [key: string]: unknown
}

const byteTokens = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`)

/** Tokens of a Llama-style vocabulary: specials, 256 bytes, then characters and what the merges make of them. */
function vocabularyOf(specials: string[], texts: string[], merges: [string, string][]): Record<string, number> {
  const tokens = new Set([...specials, ...byteTokens, ...texts, ...merges.flatMap(([a, b]) => [a, b, a + b])])
  return Object.fromEntries([...tokens].map((token, id) => [token, id]))
}

export const specialToken = (id: number, content: string, more: Record<string, unknown> = {}) => ({
  id,
  content,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
  special: true,
  ...more,
})

/** As Llama 2 has it: "▁" in front, bytes for what the vocabulary lacks. */
export function llamaTokenizer(): TinyTokenizer {
  const merges: [string, string][] = [
    ['h', 'e'],
    ['l', 'l'],
    ['he', 'll'],
    ['hell', 'o'],
    ['▁', 'hello'],
    ['▁', '▁'],
    ['<', 's'],
    ['<s', '>'],
  ]
  const specials = ['<unk>', '<s>', '</s>', '<|end|>']
  const vocab = vocabularyOf(specials, [...'▁abcdefghijklmnopqrstuvwxyz<>|/.,!\n'], merges)
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: specials.map((content, id) => specialToken(id, content)),
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'Prepend', prepend: '▁' },
        { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
      ],
    },
    pre_tokenizer: null,
    post_processor: null,
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        { type: 'Strip', content: ' ', start: 1, stop: 0 },
      ],
    },
    model: { type: 'BPE', unk_token: '<unk>', fuse_unk: true, byte_fallback: true, vocab, merges },
  }
}

/** As GPT-2 and Llama 3 have it: bytes as visible characters. */
export function byteLevelTokenizer(): TinyTokenizer {
  const characters = Array.from({ length: 0x144 }, (_, i) => String.fromCharCode(i)).filter(
    c => (c >= '!' && c <= '~') || (c >= '¡' && c <= '¬') || c >= '®',
  )
  const merges: [string, string][] = [
    ['h', 'e'],
    ['Ġ', 't'],
    ['Ġt', 'he'],
    ['ð', 'Ł'],
    ['Ã', '©'],
  ]
  const tokens = new Set([...characters, ...merges.flatMap(([a, b]) => [a, b, a + b])])
  const vocab = Object.fromEntries([...tokens].map((token, id) => [token, id]))
  return {
    version: '1.0',
    added_tokens: [specialToken(tokens.size, '<|eot|>')],
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: { type: 'BPE', unk_token: null, vocab, merges },
  }
}

export function vocabularySizeOf(json: TinyTokenizer): number {
  const vocab = json.model.vocab as Record<string, number> | unknown[]
  const size = Array.isArray(vocab) ? vocab.length : Object.keys(vocab).length
  return Math.max(size, ...json.added_tokens.map(token => Number(token.id) + 1))
}
