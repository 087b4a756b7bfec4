import type { AddCommand } from '../../add-command.ts'
import { addEventList } from './list.ts'
import { addEventSearch } from './search.ts'
import { addEventShow } from './show.ts'
import { addEventTail } from './tail.ts'
import { addEventTrace } from './trace.ts'

/** The commands of `tidemark event`, in the order of its help. */
export const commands: readonly AddCommand[] = [
  addEventList,
  addEventSearch,
  addEventShow,
  addEventTrace,
  addEventTail,
]
