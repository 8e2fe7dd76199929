/** Constants that kernels load from memory: written once, before anything else runs on a memory. */
import { writeExpConstants } from './exp'
import { MASK_CODE_0, MASK_CODE_0_16, MASK_CODE_1, MASK_CODE_1_16 } from './memory-layout'

export function writeConstants(): void {
  memory.fill(MASK_CODE_0, 0x03, 16)
  memory.fill(MASK_CODE_1, 0x0c, 16)
  for (let lane: usize = 0; lane < 16; lane += 2) {
    store<u16>(MASK_CODE_0_16 + lane, 0x0003)
    store<u16>(MASK_CODE_1_16 + lane, 0x000c)
  }
  writeExpConstants()
}
