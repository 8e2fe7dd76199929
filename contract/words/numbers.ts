/** Plain values that every part of the contract uses. Units are in the names. */
import * as v from 'valibot'

export const nothing = v.undefined()
export const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
export const bytes = v.pipe(v.number(), v.minValue(0))
export const bytesValue = v.custom<Uint8Array>(value => value instanceof Uint8Array, 'expected bytes')
export const fraction = v.pipe(v.number(), v.minValue(0), v.maxValue(1))
export const tokenIds = v.array(count)
