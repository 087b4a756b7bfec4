import type { MutantGroup } from '../mutant.ts'
import { doorbell } from './doorbell.ts'
import { horizon, stall } from './horizon.ts'
import { jobs } from './jobs.ts'
import { once } from './once.ts'
import { order } from './order.ts'
import { publish } from './publish.ts'
import { rebuild } from './rebuild.ts'
import { relays } from './relays.ts'
import { stores } from './stores.ts'
import { unreadable } from './unreadable.ts'

/** All mutants, by the guarantee that they break. */
export const groups: readonly MutantGroup[] = [
  publish,
  horizon,
  order,
  once,
  stall,
  doorbell,
  rebuild,
  unreadable,
  jobs,
  stores,
  relays,
]
