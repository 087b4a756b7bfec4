import type { AddCommand } from '../../add-command.ts'
import { addAuditList } from './list.ts'

export const commands: readonly AddCommand[] = [addAuditList]
