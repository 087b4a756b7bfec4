import type { AddCommand } from '../../add-command.ts'
import { addMigrateRoles } from './roles.ts'
import { addMigrateSql } from './sql.ts'
import { addMigrateStatus } from './status.ts'
import { addMigrateUp } from './up.ts'
import { addMigrateVerify } from './verify.ts'

/** The commands of `tidemark migrate`, in the order of its help. */
export const commands: readonly AddCommand[] = [
  addMigrateUp,
  addMigrateStatus,
  addMigrateSql,
  addMigrateVerify,
  addMigrateRoles,
]
