/** Types of node24.mjs, which is plain JavaScript for older Nodes. */
export const REQUIRED_NODE_MAJOR: number
export function isRecentNode(version?: string): boolean
export function findNode24(): string | null
export function findInstalledNode24(): string | null
export function underNode24(scriptUrl: string, main: () => unknown): Promise<unknown>
export interface Outcome {
  code: number | null
  signal: NodeJS.Signals | null
}
export function runInherited(
  command: string,
  args: readonly string[],
  options?: { env?: NodeJS.ProcessEnv; stdio?: import('node:child_process').StdioOptions },
): Promise<Outcome>
export function runBound(node: string, args: readonly string[]): Promise<Outcome>
export function endAs(outcome: Outcome): void
