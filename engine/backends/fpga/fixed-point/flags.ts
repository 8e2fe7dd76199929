/** Which values were ever clamped: no error, but a sign that a model's numbers are larger than the formats. */

/** Residual; gates i, f, g; gate and up; v and z; the scale's shift. */
export const SATURATIONS = ['x', 'i', 'f', 'g', 'gateUp', 'v', 'z', 'scale'] as const
export type Saturation = (typeof SATURATIONS)[number]

/** Sticky. */
export type SaturationFlags = Set<Saturation>
