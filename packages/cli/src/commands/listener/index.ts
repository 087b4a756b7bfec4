import type { AddCommand } from '../../add-command.ts'
import { addListenerList } from './list.ts'
import { addListenerPause } from './pause.ts'
import { addListenerReset } from './reset.ts'
import { addListenerResume } from './resume.ts'
import { addListenerShow } from './show.ts'
import { addListenerSkip } from './skip.ts'

/** The commands of `tidemark listener`, in the order of its help. */
export const commands: readonly AddCommand[] = [
  addListenerList,
  addListenerShow,
  addListenerPause,
  addListenerResume,
  addListenerSkip,
  addListenerReset,
]
