import type { AddCommand } from '../../add-command.ts'
import { addProjectionCancel } from './cancel.ts'
import { addProjectionKeys } from './keys.ts'
import { addProjectionList } from './list.ts'
import { addProjectionPause } from './pause.ts'
import { addProjectionRebuild } from './rebuild.ts'
import { addProjectionReset } from './reset.ts'
import { addProjectionResume } from './resume.ts'
import { addProjectionShow } from './show.ts'
import { addProjectionState } from './state.ts'

/** The commands of `tidemark projection`, in the order of its help. */
export const commands: readonly AddCommand[] = [
  addProjectionList,
  addProjectionShow,
  addProjectionKeys,
  addProjectionState,
  addProjectionRebuild,
  addProjectionPause,
  addProjectionResume,
  addProjectionCancel,
  addProjectionReset,
]
