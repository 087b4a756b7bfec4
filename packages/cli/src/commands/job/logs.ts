import { setTimeout } from 'node:timers/promises'
import type { Command } from 'commander'
import type { App, JobLogLine } from 'tidemark'
import { uuidArgument } from '../../arguments/arguments.ts'
import { running, type Context } from '../../command-run.ts'
import { logLine } from '../../output/job-table.ts'

interface Options {
  readonly follow?: boolean
}

// How often a job that runs is asked for more, in milliseconds.
const period = 500
const page = 1000

/** `tidemark job logs` */
export function addJobLogs(parent: Command, context: Context): void {
  parent
    .command('logs')
    .description('Print what a job has logged, the oldest first; with --json a line of JSON each.')
    .argument('<id>', 'the job', uuidArgument)
    .option('--follow', 'go on until the job has finished')
    .action(
      running<Options, [string]>(context, async ({ options, session, output, io }, id) => {
        const app = await session.app()
        const stopped = options.follow === true ? io.stopSignal() : undefined
        for await (const line of lines(app, id, stopped)) {
          output.item(line, () => logLine(line))
        }
      }),
    )
}

/** What a job has logged; with a signal, and what it logs until it has finished or the signal says so. */
async function* lines(
  app: App,
  id: string,
  stopped: AbortSignal | undefined,
): AsyncGenerator<JobLogLine> {
  let after = 0n
  for (;;) {
    // Before the lines: whatever was logged until it finished is in the next page.
    const { finishedAt } = await app.jobs.get(id)
    const found = await app.jobs.logs(id, { after, limit: page })
    yield* found
    after = found.at(-1)?.number ?? after
    if (found.length === page) continue
    if (finishedAt !== null || stopped === undefined || stopped.aborted) return
    await setTimeout(period, undefined, { signal: stopped }).catch(() => {})
  }
}
