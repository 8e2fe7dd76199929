/** Counts for Prometheus: what was served, what was refused, what waits. */
import type { Usage } from './answers.ts'
import type { Turns } from './turns.ts'

export interface ApiMetrics {
  served(usage: Usage, ttftMs: number): void
  refused(status: number): void
  text(turns: Turns): string
}

export function createApiMetrics(): ApiMetrics {
  const totals = { requests: 0, promptTokens: 0, cachedTokens: 0, completionTokens: 0, ttftMs: 0 }
  const refusals = new Map<number, number>()
  return {
    served({ promptTokens, cachedTokens, completionTokens }, ttftMs) {
      totals.requests++
      totals.promptTokens += promptTokens
      totals.cachedTokens += cachedTokens
      totals.completionTokens += completionTokens
      totals.ttftMs += ttftMs
    },
    refused: status => void refusals.set(status, (refusals.get(status) ?? 0) + 1),
    text: turns =>
      [
        counter('tern_requests_total', 'Requests answered in full.', totals.requests),
        counter('tern_prompt_tokens_total', 'Tokens of prompts, those reused among them.', totals.promptTokens),
        counter(
          'tern_prompt_tokens_cached_total',
          'Tokens of prompts that a kept state had read.',
          totals.cachedTokens,
        ),
        counter('tern_completion_tokens_total', 'Tokens written.', totals.completionTokens),
        counter('tern_time_to_first_token_ms_total', 'Sum over requests.', Math.round(totals.ttftMs)),
        '# HELP tern_refused_total Requests refused or failed, by HTTP status.',
        '# TYPE tern_refused_total counter',
        ...[...refusals]
          .sort(([a], [b]) => a - b)
          .map(([status, count]) => `tern_refused_total{status="${status}"} ${count}`),
        gauge('tern_requests_running', 'Requests that are being written.', turns.running),
        gauge('tern_requests_waiting', 'Requests that wait for a turn.', turns.waitingCount),
        '',
      ].join('\n'),
  }
}

const metric = (type: string) => (name: string, help: string, value: number) =>
  `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${name} ${value}`
const counter = metric('counter')
const gauge = metric('gauge')
