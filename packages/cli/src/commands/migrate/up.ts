import type { Command } from 'commander'
import { migrateUp } from 'tidemark'
import { running, type Context } from '../../command-run.ts'
import { plural } from '../../output/output.ts'

/** `tidemark migrate up` */
export function addMigrateUp(parent: Command, context: Context): void {
  parent
    .command('up')
    .description('Apply the pending migrations. Any number of processes may do so at once.')
    .action(
      running(context, async ({ session, output }) => {
        const report = await migrateUp({
          ...(await session.place()),
          onProgress: ({ migration: { version, name }, state }) => {
            output.note(`${state} ${version} ${name}`)
          },
        })
        const { schema, applied } = report
        // Only now is there a table to record it in.
        if (applied.length > 0) await session.app()
        output.result({ schema, applied }, () =>
          applied.length === 0
            ? `Schema "${schema}" is up to date.`
            : `Schema "${schema}": ${plural(applied.length, 'migration')} applied.`,
        )
      }),
    )
}
