import type { AddCommand } from '../../add-command.ts'
import { addStateServe } from './serve.ts'

/** The commands of `tidemark state`, in the order of its help. */
export const commands: readonly AddCommand[] = [addStateServe]
