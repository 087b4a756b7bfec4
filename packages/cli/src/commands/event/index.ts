import type { AddCommand } from '../../add-command.ts'
import { addEventList } from './list.ts'
import { addEventShow } from './show.ts'
import { addEventTail } from './tail.ts'

/** The commands of `tidemark event`, in the order of its help. */
export const commands: readonly AddCommand[] = [addEventList, addEventShow, addEventTail]
