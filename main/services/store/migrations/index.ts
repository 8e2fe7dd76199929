/** How a database of any age becomes one of today: SQL in order, forward only, each in one transaction. */
import { CHATS } from './001-chats.ts'
import { FIND_AND_ORDER } from './002-find-and-order.ts'
import { ENERGY } from './003-energy.ts'
import { SETTINGS } from './004-settings.ts'

/** The n-th takes `user_version` from n to n + 1. Never change one that has shipped. */
export const MIGRATIONS: readonly string[] = [CHATS, FIND_AND_ORDER, ENERGY, SETTINGS]
