import type { AddCommand } from '../../add-command.ts'
import { addDeadLetterDiscard } from './discard.ts'
import { addDeadLetterGroups } from './groups.ts'
import { addDeadLetterList } from './list.ts'
import { addDeadLetterRetry } from './retry.ts'
import { addDeadLetterShow } from './show.ts'

/** The commands of `tidemark dead-letter`, in the order of its help. */
export const commands: readonly AddCommand[] = [
  addDeadLetterList,
  addDeadLetterGroups,
  addDeadLetterShow,
  addDeadLetterRetry,
  addDeadLetterDiscard,
]
