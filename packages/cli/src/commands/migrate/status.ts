import type { Command } from 'commander'
import { migrationProblem, migrationStatus } from 'tidemark'
import { running, type Context } from '../../command-run.ts'
import { exitCode } from '../../exit-code.ts'
import { printMigrations } from '../../output/migration-table.ts'

interface Options {
  readonly check?: boolean
}

/** `tidemark migrate status` */
export function addMigrateStatus(parent: Command, context: Context): void {
  parent
    .command('status')
    .description('List the migrations: applied, pending, changed, or unknown to this version.')
    .option('--check', 'exit 3 unless every migration is applied, and unchanged')
    .action(
      running<Options, []>(context, async ({ options, session, output }) => {
        const status = await migrationStatus(await session.place())
        printMigrations(output, status)
        const settled = status.every((migration) => migrationProblem(migration) === undefined)
        return options.check === true && !settled ? exitCode.checkFailed : undefined
      }),
    )
}
