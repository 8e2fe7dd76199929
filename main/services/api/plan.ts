/** What a request means for the engine. Pure: requests in, plans or refusals out. */
import type { SessionInput } from '../../../contract/engine/session.ts'
import type { TemplateMessage } from '../../../contract/words/message.ts'
import { DEFAULT_CHAT_SAMPLING, type Sampling } from '../../../contract/words/sampling.ts'
import { ApiError } from './api-error.ts'
import type { ApiMessage, ChatRequest, CommonRequest, CompletionRequest, ResponseRequest } from './requests.ts'

export interface Plan {
  input: SessionInput
  /** For text; of a conversation the messages that a later request may begin with. */
  messages: readonly TemplateMessage[] | null
  /** One for each choice. */
  samplings: readonly Sampling[]
  isStream: boolean
  withUsage: boolean
}

export function planChat(request: ChatRequest): Plan {
  refuseUnserved(request)
  const messages = templateMessages(request.messages)
  // A reply that a client has begun is gone on with.
  const addGenerationPrompt = messages.at(-1)?.role !== 'assistant'
  return {
    input: { kind: 'messages', messages, addGenerationPrompt },
    messages,
    ...common(request, request.max_completion_tokens ?? request.max_tokens ?? null),
  }
}

/** Of a completion without a limit, as OpenAI has it. */
const COMPLETION_TOKENS = 16

export function planCompletion(request: CompletionRequest): Plan {
  refuseUnserved(request)
  if (request.echo === true) throw unserved('echo')
  if (typeof request.suffix === 'string' && request.suffix !== '') throw unserved('suffix')
  const text = typeof request.prompt === 'string' ? request.prompt : request.prompt[0]
  return {
    input: { kind: 'text', text, parseSpecial: false },
    messages: null,
    ...common(request, request.max_tokens ?? COMPLETION_TOKENS),
  }
}

export function planResponse(request: ResponseRequest): Plan {
  if ((request.tools ?? []).length > 0) throw unserved('tools')
  const asked: ApiMessage[] =
    typeof request.input === 'string' ? [{ role: 'user', content: request.input }] : request.input
  const { instructions } = request
  const messages = templateMessages(
    typeof instructions === 'string' ? [{ role: 'system', content: instructions }, ...asked] : asked,
  )
  return {
    input: { kind: 'messages', messages, addGenerationPrompt: messages.at(-1)?.role !== 'assistant' },
    messages,
    ...common(request, request.max_output_tokens ?? null),
  }
}

function common(request: CommonRequest, maxTokens: number | null): Pick<Plan, 'samplings' | 'isStream' | 'withUsage'> {
  const { temperature, top_p, top_k, min_p, seed, stop, logit_bias } = request
  const { presence_penalty, frequency_penalty, repetition_penalty } = request
  const given = <T>(name: string, value: T | null | undefined) => (value == null ? {} : { [name]: value })
  const sampling: Sampling = {
    ...DEFAULT_CHAT_SAMPLING,
    ...given('temperature', temperature),
    ...given('topP', top_p),
    ...given('topK', top_k),
    ...given('minP', min_p),
    ...given('presencePenalty', presence_penalty),
    ...given('frequencyPenalty', frequency_penalty),
    ...given('repetitionPenalty', repetition_penalty),
    ...given('maxTokens', maxTokens),
    ...(stop == null ? {} : { stop: typeof stop === 'string' ? [stop] : stop }),
    ...(logit_bias == null
      ? {}
      : { logitBias: Object.entries(logit_bias).map(([id, bias]): [number, number] => [Number(id), bias]) }),
  }
  const samplings = Array.from({ length: request.n ?? 1 }, (_, index) =>
    // Each choice draws for itself; the first as it would alone.
    seed == null ? sampling : { ...sampling, seed: (Math.abs(seed) + index) % Number.MAX_SAFE_INTEGER },
  )
  return {
    samplings,
    isStream: request.stream === true,
    withUsage: request.stream_options?.include_usage === true,
  }
}

function refuseUnserved({ logprobs, response_format, tools }: CommonRequest): void {
  if (logprobs != null && logprobs !== false && logprobs !== 0) throw unserved('logprobs')
  if (response_format != null && response_format.type !== 'text') throw unserved('response_format')
  if ((tools ?? []).length > 0) throw unserved('tools')
}

const unserved = (param: string): ApiError =>
  new ApiError(400, 'unsupported_parameter', `Tern does not serve "${param}" yet. Leave it out.`, param)

/** Roles as templates know them; parts as one text. Images and sounds cannot be read. */
function templateMessages(messages: readonly ApiMessage[]): TemplateMessage[] {
  return messages.map(({ role, content }, index) => {
    if (role === 'tool') throw new ApiError(400, 'unsupported_parameter', 'Tern does not serve tools yet.', 'messages')
    return {
      role: role === 'developer' ? 'system' : role,
      content: textOf(content, index),
    }
  })
}

function textOf(content: ApiMessage['content'], index: number): string {
  if (content == null) return ''
  if (typeof content === 'string') return content
  return content
    .map(({ type, text }) => {
      if (text !== undefined && /^(input_|output_)?text$/.test(type)) return text
      const message = `Tern reads text alone, and message ${index} holds a part of the kind "${type}".`
      throw new ApiError(400, 'unsupported_content', message, 'messages')
    })
    .join('')
}
