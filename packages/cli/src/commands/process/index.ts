import type { AddCommand } from '../../add-command.ts'
import { addProcessList } from './list.ts'

/** The commands of `tidemark process`, in the order of its help. */
export const commands: readonly AddCommand[] = [addProcessList]
