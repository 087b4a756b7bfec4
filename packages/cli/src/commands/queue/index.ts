import type { AddCommand } from '../../add-command.ts'
import { addQueueList } from './list.ts'
import { addQueuePause, addQueueResume } from './pause.ts'

export const commands: readonly AddCommand[] = [addQueueList, addQueuePause, addQueueResume]
