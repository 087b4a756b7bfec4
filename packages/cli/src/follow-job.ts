import type { App, JobReport } from 'tidemark'
import { CliError } from './cli-error.ts'
import { progressText } from './output/job-table.ts'
import type { Output } from './output/output.ts'

/**
 * Shows the progress of a job on stderr until it has finished.
 *
 * @param stopped - ends the looking, not the job.
 * @returns what the job answered.
 * @throws TidemarkError TIDEMARK_JOB_FAILED.
 */
export async function followJob(
  app: App,
  id: string,
  output: Output,
  stopped: AbortSignal,
): Promise<unknown> {
  const handle = app.jobs.handle(id)
  let shown = ''
  for await (const report of handle.progress({ signal: stopped })) {
    const text = reportText(report)
    if (text !== shown) output.note(`${id}: ${text}`)
    shown = text
  }
  if (stopped.aborted) {
    throw new CliError(`job ${id} has not finished`, {
      hint: `It goes on. \`tidemark job show ${id}\` says how far it is, \`tidemark job cancel ${id}\` ends it.`,
    })
  }
  return handle.result()
}

function reportText({ status, attempt, progress }: JobReport): string {
  const how = progressText(progress)
  return [status, attempt > 1 ? `attempt ${attempt}` : null, how]
    .filter((part) => part !== null)
    .join(', ')
}
