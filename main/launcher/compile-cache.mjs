/**
 * Keeps what Node makes of our sources, stripped of types and compiled, in out/compile-cache: a start then takes half the
 * time. Threads and engine processes use it too. Plain JavaScript; Nodes before 22.1 go without.
 */
import module from 'node:module'
import { fileURLToPath } from 'node:url'

const FOLDER = fileURLToPath(new URL('../../out/compile-cache', import.meta.url))

/** Before anything large is imported. Where the folder cannot be written, Node works without it by itself. */
export function useCompileCache() {
  const { NODE_COMPILE_CACHE: given, NODE_DISABLE_COMPILE_CACHE: isOff } = process.env
  if (isOff || given) return
  module.enableCompileCache?.(FOLDER)
  // This is how threads and child processes learn of it.
  process.env.NODE_COMPILE_CACHE = FOLDER
}
