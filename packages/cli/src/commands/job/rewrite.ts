import type { Command } from 'commander'
import type { JobRewriteReport } from 'tidemark'
import { uuidArgument } from '../../arguments/arguments.ts'
import { running, type Context } from '../../command-run.ts'
import { exitCode } from '../../exit-code.ts'

interface Options {
  readonly dryRun?: boolean
  readonly after?: string
}

// In milliseconds, between two remarks on how far it is.
const noteEvery = 1_000

/** `tidemark job rewrite` */
export function addJobRewrite(parent: Command, context: Context): void {
  parent
    .command('rewrite')
    .description(
      "Write the values of all jobs again, as the application's codec writes now: after a rotation of keys, say.",
    )
    .option('--dry-run', 'only count what would be written')
    .option(
      '--after <id>',
      'go on after this job, where an earlier one was interrupted',
      uuidArgument,
    )
    .action(
      running<Options, []>(context, async ({ options, session, output, io }) => {
        const app = await session.app()
        const { dryRun = false, after } = options
        let told = performance.now()
        const report = await app.jobs.rewrite({
          dryRun,
          ...(after === undefined ? {} : { after }),
          signal: io.stopSignal(),
          onProgress: ({ jobs, rewritten }) => {
            if (performance.now() - told < noteEvery) return
            told = performance.now()
            output.note(`${jobs} jobs, ${rewritten} values ${dryRun ? 'to be ' : ''}rewritten`)
          },
        })
        output.result(report, () => summary(report))
        return report.unreadable === 0 && report.next === null ? undefined : exitCode.checkFailed
      }),
    )
}

function summary({ unreadables, unreadable, next, ...counts }: JobRewriteReport): string {
  const lines = Object.entries(counts).map(([name, count]) => `${name} ${count}`)
  const named = unreadables.map(({ id, part, reason }) => `  ${id} ${part}: ${reason}`)
  return [
    lines.join(', '),
    ...(unreadable === 0
      ? []
      : [`${unreadable} cannot be read, and were left as they are:`, ...named]),
    ...(next === null ? [] : [`Interrupted. Go on with --after ${next}`]),
  ].join('\n')
}
