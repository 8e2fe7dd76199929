import { describe, expect, it } from 'vitest'
import { PROOFS, prove } from './proofs.ts'
import { hasCommand } from './simulators.ts'

const TIMEOUT_MS = 180_000

describe.skipIf(!hasCommand('yosys') || !hasCommand('z3'))('proofs of the gateware', () => {
  it.each(PROOFS)('$name', { timeout: TIMEOUT_MS }, proof => {
    expect(() => prove(proof, proof.steps)).not.toThrow()
  })
})
