import type { AddCommand } from '../../add-command.ts'
import { addScheduleList } from './list.ts'
import { addSchedulePause } from './pause.ts'
import { addSchedulePut } from './put.ts'
import { addScheduleRemove } from './remove.ts'
import { addScheduleResume } from './resume.ts'
import { addScheduleRun } from './run.ts'
import { addScheduleShow } from './show.ts'

/** The commands of `tidemark schedule`, in the order of its help. */
export const commands: readonly AddCommand[] = [
  addScheduleList,
  addScheduleShow,
  addSchedulePut,
  addScheduleRun,
  addSchedulePause,
  addScheduleResume,
  addScheduleRemove,
]
