/** Names for what is made here, unique without asking anybody. Passed in where tests want to know them beforehand. */
import { randomUUID } from 'node:crypto'

export type NewId = () => string

export const newId: NewId = () => randomUUID()
