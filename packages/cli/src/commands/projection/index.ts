import type { AddCommand } from '../../add-command.ts'
import { addProjectionCancel } from './cancel.ts'
import { addProjectionList } from './list.ts'
import { addProjectionPause } from './pause.ts'
import { addProjectionRebuild } from './rebuild.ts'
import { addProjectionReset } from './reset.ts'
import { addProjectionResume } from './resume.ts'
import { addProjectionShow } from './show.ts'

/** The commands of `tidemark projection`, in the order of its help. */
export const commands: readonly AddCommand[] = [
  addProjectionList,
  addProjectionShow,
  addProjectionRebuild,
  addProjectionPause,
  addProjectionResume,
  addProjectionCancel,
  addProjectionReset,
]
