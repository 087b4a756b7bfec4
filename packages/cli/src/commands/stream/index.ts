import type { AddCommand } from '../../add-command.ts'
import { addStreamShow } from './show.ts'

/** The commands of `tidemark stream`, in the order of its help. */
export const commands: readonly AddCommand[] = [addStreamShow]
