/** A tokenizer of characters and bytes for tests, small enough to reason about: every id can be written down by name. */
import { specialToken } from '../tiny-tokenizer.ts'

const SPECIAL = ['<unk>', '<s>', '</s>', '<|user|>', '<|assistant|>', '<|end|>']
const BYTES = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`)
const CHARACTERS = ['\n', ...Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i))]
/** Longer tokens, which only a model writes: encoding gives characters. */
const WORDS = ['Hello', ' world', 'ab</', 'x</st', 'op>yz', '. The', ' end', 'STOP', '!!']

const TOKENS = [...SPECIAL, ...BYTES, ...CHARACTERS, ...WORDS]

export const TINY_VOCABULARY_SIZE = TOKENS.length
export const BOS = 1
export const EOS = 2
export const END = 5

/** Id of a token by its spelling. */
export function id(token: string): number {
  const found = TOKENS.indexOf(token)
  if (found < 0) throw new Error(`no token "${token}"`)
  return found
}

export const characters = (text: string): number[] => [...text].map(id)
/** The UTF-8 bytes of a text as byte tokens. */
export const bytes = (text: string): number[] => Array.from(new TextEncoder().encode(text), byte => id(BYTES[byte]))

export const TINY_TOKENIZER_JSON = JSON.stringify({
  version: '1.0',
  added_tokens: SPECIAL.map((content, i) => specialToken(i, content)),
  normalizer: null,
  pre_tokenizer: null,
  post_processor: null,
  decoder: { type: 'Sequence', decoders: [{ type: 'ByteFallback' }, { type: 'Fuse' }] },
  model: {
    type: 'BPE',
    dropout: null,
    unk_token: null,
    byte_fallback: true,
    fuse_unk: false,
    vocab: Object.fromEntries(TOKENS.map((token, i) => [token, i])),
    merges: [],
  },
})

/** As the embedded model's: a role line, the content, an end mark. */
export const TINY_CHAT_TEMPLATE =
  "{{ bos_token }}{% for message in messages %}<|{{ message['role'] }}|>\n{{ message['content'] | trim }}<|end|>\n{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
