/** For a host that plays a part: every call and stream of the window that this part has no use for is refused. */

import type { AppApi } from '../contract/app-api.ts'
import { appApi } from '../contract/app-api.ts'
import { TernError } from '../contract/errors.ts'
import type { Handlers } from '../contract/rpc.ts'

const refusedOf = (names: object) =>
  Object.fromEntries(
    Object.keys(names).map(name => [
      name,
      () => {
        throw new TernError({ code: 'internal', message: `Nobody expects ${name} here.` })
      },
    ]),
  )

export const UNUSED = {
  calls: refusedOf(appApi.calls),
  streams: refusedOf(appApi.streams),
} as unknown as Handlers<AppApi>
