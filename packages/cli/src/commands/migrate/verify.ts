import type { Command } from 'commander'
import { migrationProblem, migrationStatus } from 'tidemark'
import { running, type Context } from '../../command-run.ts'
import { exitCode } from '../../exit-code.ts'
import { plural } from '../../output/output.ts'

/** `tidemark migrate verify` */
export function addMigrateVerify(parent: Command, context: Context): void {
  parent
    .command('verify')
    .description('Check that the schema is the one this version works with; exit 3 if it is not.')
    .action(
      running(context, async ({ session, output }) => {
        const { schema, ...place } = await session.place()
        const status = await migrationStatus({ ...place, schema })
        const problems = status.flatMap((migration) => {
          const problem = migrationProblem(migration)
          return problem === undefined ? [] : [{ ...migration, problem }]
        })
        const ok = problems.length === 0
        output.result({ schema, ok, problems }, () =>
          ok
            ? `Schema "${schema}" is as this version expects it: ${plural(status.length, 'migration')} verified.`
            : problems
                .map(({ version, name, problem }) => `${version} ${name} ${problem}.`)
                .join('\n'),
        )
        return ok ? undefined : exitCode.checkFailed
      }),
    )
}
