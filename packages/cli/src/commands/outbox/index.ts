import type { AddCommand } from '../../add-command.ts'
import { addOutboxPrune } from './prune.ts'
import { addOutboxStats } from './stats.ts'

/** The commands of `tidemark outbox`, in the order of its help. */
export const commands: readonly AddCommand[] = [addOutboxStats, addOutboxPrune]
