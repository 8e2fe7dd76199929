/** Two digits: an estimate says no more. */
export const roundTo2 = (n: number): number => Number(n.toPrecision(2))
