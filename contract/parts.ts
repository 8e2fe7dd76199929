/** A contract is written in parts, one a subject; here they become one table. A name is in one part only (a test). */

interface ContractPart {
  readonly calls: object
  readonly streams: object
}

type Intersection<U> = (U extends unknown ? (member: U) => void : never) extends (all: infer I) => void ? I : never

export function mergeParts<const P extends readonly ContractPart[]>(
  ...parts: P
): { calls: Intersection<P[number]['calls']>; streams: Intersection<P[number]['streams']> } {
  const merged = { calls: {}, streams: {} }
  for (const part of parts) {
    Object.assign(merged.calls, part.calls)
    Object.assign(merged.streams, part.streams)
  }
  return merged as never
}
