import type { Command } from 'commander'
import { rolesSql } from 'tidemark'
import { running, type Context } from '../../command-run.ts'

interface Options {
  readonly prefix?: string
}

/** `tidemark migrate roles` */
export function addMigrateRoles(parent: Command, context: Context): void {
  parent
    .command('roles')
    .description(
      'Print a script for psql that makes four roles with the least privileges: publisher, worker, reader, migrator. Needs no database.',
    )
    .option(
      '--prefix <name>',
      "what the names of the roles begin with (default: the schema's name)",
    )
    .action(
      running<Options, []>(context, async ({ options, session, output }) => {
        const schema = options.schema ?? (await session.config())?.app.schema
        const sql = rolesSql({
          ...(schema === undefined ? {} : { schema }),
          ...(options.prefix === undefined ? {} : { prefix: options.prefix }),
        })
        output.result({ sql }, () => sql)
      }),
    )
}
