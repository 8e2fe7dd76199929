/** The temperatures at which replies are compared: the first ones, and what one more is written at. */
const TEMPERATURES = [0.3, 0.7, 1, 1.3, 0]

export const FIRST_TEMPERATURES: readonly number[] = TEMPERATURES.slice(0, 3)

/** One that is not among them yet. */
export const nextTemperature = (taken: readonly (number | null)[]): number =>
  TEMPERATURES.find(temperature => !taken.includes(temperature)) ?? TEMPERATURES[0]
