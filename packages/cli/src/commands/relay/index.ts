import type { AddCommand } from '../../add-command.ts'
import { addListenerPause } from '../listener/pause.ts'
import { addListenerResume } from '../listener/resume.ts'
import { addListenerShow } from '../listener/show.ts'
import { addRelayList } from './list.ts'
import { addRelaySetup } from './setup.ts'
import { addRelayVerify } from './verify.ts'

/** The commands of `tidemark relay`, in the order of its help. What steers any listener steers these, too. */
export const commands: readonly AddCommand[] = [
  addRelayList,
  addListenerShow,
  addListenerPause,
  addListenerResume,
  addRelaySetup,
  addRelayVerify,
]
