/** Answers in OpenAI's forms. Pure. */
import type { FinishReason } from '../../../contract/words/sampling.ts'

export interface Usage {
  promptTokens: number
  cachedTokens: number
  completionTokens: number
}

export interface Choice {
  text: string
  finishReason: FinishReason
}

/** What all parts of one answer share. */
export interface AnswerHead {
  id: string
  createdAtS: number
  model: string
}

const FINISH: Readonly<Record<FinishReason, string>> = {
  'end-of-text': 'stop',
  'stop-string': 'stop',
  'max-tokens': 'length',
  cancelled: 'stop',
}

const usageBody = ({ promptTokens, cachedTokens, completionTokens }: Usage) => ({
  prompt_tokens: promptTokens,
  completion_tokens: completionTokens,
  total_tokens: promptTokens + completionTokens,
  prompt_tokens_details: { cached_tokens: cachedTokens },
})

/** How one endpoint writes its answers: whole, or in chunks. */
export interface AnswerForm {
  whole(head: AnswerHead, choices: readonly Choice[], usage: Usage): unknown
  /** Before any text of a choice; null: nothing. */
  opening(head: AnswerHead, index: number): unknown
  text(head: AnswerHead, index: number, text: string): unknown
  closing(head: AnswerHead, index: number, reason: FinishReason): unknown
  usage(head: AnswerHead, usage: Usage): unknown
}

export const chatForm: AnswerForm = {
  whole: (head, choices, usage) => ({
    ...shared(head, 'chat.completion'),
    choices: choices.map(({ text, finishReason }, index) => ({
      index,
      message: { role: 'assistant', content: text, refusal: null },
      logprobs: null,
      finish_reason: FINISH[finishReason],
    })),
    usage: usageBody(usage),
  }),
  opening: (head, index) => chatChunk(head, index, { role: 'assistant', content: '' }, null),
  text: (head, index, text) => chatChunk(head, index, { content: text }, null),
  closing: (head, index, reason) => chatChunk(head, index, {}, FINISH[reason]),
  usage: (head, usage) => ({ ...shared(head, 'chat.completion.chunk'), choices: [], usage: usageBody(usage) }),
}

export const completionForm: AnswerForm = {
  whole: (head, choices, usage) => ({
    ...shared(head, 'text_completion'),
    choices: choices.map(({ text, finishReason }, index) => completionChoice(index, text, FINISH[finishReason])),
    usage: usageBody(usage),
  }),
  opening: () => null,
  text: (head, index, text) => ({ ...shared(head, 'text_completion'), choices: [completionChoice(index, text, null)] }),
  closing: (head, index, reason) => ({
    ...shared(head, 'text_completion'),
    choices: [completionChoice(index, '', FINISH[reason])],
  }),
  usage: (head, usage) => ({ ...shared(head, 'text_completion'), choices: [], usage: usageBody(usage) }),
}

const shared = ({ id, createdAtS, model }: AnswerHead, object: string) => ({ id, object, created: createdAtS, model })

const completionChoice = (index: number, text: string, reason: string | null) => ({
  index,
  text,
  logprobs: null,
  finish_reason: reason,
})

const chatChunk = (head: AnswerHead, index: number, delta: object, reason: string | null) => ({
  ...shared(head, 'chat.completion.chunk'),
  choices: [{ index, delta, logprobs: null, finish_reason: reason }],
})

/** OpenAI's Responses, as far as text goes. */
export const responseBody = (head: AnswerHead, { text, finishReason }: Choice, usage: Usage) => ({
  id: head.id.replace('chatcmpl', 'resp'),
  object: 'response',
  created_at: head.createdAtS,
  status: finishReason === 'max-tokens' ? 'incomplete' : 'completed',
  error: null,
  incomplete_details: finishReason === 'max-tokens' ? { reason: 'max_output_tokens' } : null,
  model: head.model,
  output: [
    {
      id: head.id.replace('chatcmpl', 'msg'),
      type: 'message',
      status: 'completed',
      role: 'assistant',
      content: [{ type: 'output_text', text, annotations: [] }],
    },
  ],
  parallel_tool_calls: false,
  tool_choice: 'none',
  tools: [],
  usage: {
    input_tokens: usage.promptTokens,
    input_tokens_details: { cached_tokens: usage.cachedTokens },
    output_tokens: usage.completionTokens,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: usage.promptTokens + usage.completionTokens,
  },
})
