/** Vectors of the benches: fields side by side, as hexadecimal lines that `$readmemh` reads. */

/** Width in bits, and the value; a negative one as two's complement. */
export type Field = readonly [bits: number, value: number | bigint | boolean]

/** The first field is the highest. */
export function packed(fields: readonly Field[]): string {
  let all = 0n
  let width = 0
  for (const [bits, value] of fields) {
    all = (all << BigInt(bits)) | BigInt.asUintN(bits, BigInt(value))
    width += bits
  }
  return all.toString(16).padStart(Math.ceil(width / 4), '0')
}
