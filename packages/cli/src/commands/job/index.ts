import type { AddCommand } from '../../add-command.ts'
import { addJobCancel } from './cancel.ts'
import { addJobCounts } from './counts.ts'
import { addJobDelete } from './delete.ts'
import { addJobList } from './list.ts'
import { addJobLogs } from './logs.ts'
import { addJobPause, addJobResume } from './pause.ts'
import { addJobReprioritise } from './reprioritise.ts'
import { addJobRetry } from './retry.ts'
import { addJobRewrite } from './rewrite.ts'
import { addJobShow } from './show.ts'
import { addJobSignal } from './signal.ts'
import { addJobSpawn } from './spawn.ts'
import { addJobTrace } from './trace.ts'
import { addJobTypes } from './types.ts'

/** The commands of `tidemark job`, in the order of its help. */
export const commands: readonly AddCommand[] = [
  addJobList,
  addJobShow,
  addJobLogs,
  addJobCounts,
  addJobTypes,
  addJobSpawn,
  addJobRetry,
  addJobCancel,
  addJobPause,
  addJobResume,
  addJobReprioritise,
  addJobDelete,
  addJobSignal,
  addJobTrace,
  addJobRewrite,
]
