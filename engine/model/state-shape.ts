/** The check that stands before a state from elsewhere becomes a sequence's own. */
import { EngineError } from '../errors.ts'
import type { ModelConfig } from './config.ts'

/** Throws `state-mismatch` unless the state is [L, E] of this model. */
export function checkStateShape(
  { layerCount, stateWidth }: ModelConfig,
  state: { layerCount: number; stateWidth: number; values: Float32Array },
): void {
  if (
    state.layerCount === layerCount &&
    state.stateWidth === stateWidth &&
    state.values.length === layerCount * stateWidth
  ) {
    return
  }
  throw new EngineError('state-mismatch', 'The state has another shape than the model.', {
    expected: `${layerCount} x ${stateWidth} numbers`,
    actual: `${state.layerCount} x ${state.stateWidth}, ${state.values.length} numbers`,
    remedy: 'Load the model that the state was made with.',
  })
}
