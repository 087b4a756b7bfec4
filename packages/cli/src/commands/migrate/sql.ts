import type { Command } from 'commander'
import { migrationSql } from 'tidemark'
import { wholeArgument } from '../../arguments/arguments.ts'
import { running, type Context } from '../../command-run.ts'

interface Options {
  readonly from?: number
}

/** `tidemark migrate sql` */
export function addMigrateSql(parent: Command, context: Context): void {
  parent
    .command('sql')
    .description('Print the migrations as a script for psql. Needs no database.')
    .option('--from <version>', 'only the migrations after this version', wholeArgument)
    .action(
      running<Options, []>(context, async ({ options, session, output }) => {
        const schema = options.schema ?? (await session.config())?.app.schema
        const sql = migrationSql({
          ...(schema === undefined ? {} : { schema }),
          ...(options.from === undefined ? {} : { from: options.from }),
        })
        output.result({ sql }, () => sql)
      }),
    )
}
