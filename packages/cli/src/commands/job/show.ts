import type { Command } from 'commander'
import type { JobAttempt } from 'tidemark'
import { uuidArgument } from '../../arguments/arguments.ts'
import { running, type Context } from '../../command-run.ts'
import { followJob } from '../../follow-job.ts'
import { logLine, millisecondsText, progressText, statusText } from '../../output/job-table.ts'
import { toJson, type Column } from '../../output/output.ts'

interface Options {
  readonly follow?: boolean
  readonly logs?: boolean
}

const attemptColumns: readonly Column<JobAttempt>[] = [
  { heading: 'ATTEMPT', value: (one) => one.attempt, align: 'right' },
  { heading: 'OUTCOME', value: (one) => one.outcome },
  { heading: 'TRIGGERED BY', value: (one) => one.triggeredBy },
  { heading: 'STARTED AT', value: (one) => one.startedAt },
  { heading: 'TOOK', value: (one) => millisecondsText(one.duration), align: 'right' },
  { heading: 'ERROR', value: (one) => one.error?.message.slice(0, 80) },
]

/** `tidemark job show` */
export function addJobShow(parent: Command, context: Context): void {
  parent
    .command('show')
    .description(
      'Show one job with its attempts and its steps: those that have ended, and those that are tried again.',
    )
    .argument('<id>', 'the job', uuidArgument)
    .option('--follow', 'show its progress on stderr first, until it has finished')
    .option('--logs', 'what it has logged, too')
    .action(
      running<Options, [string]>(context, async ({ options, session, output, io }, id) => {
        const app = await session.app()
        const outcome =
          options.follow === true
            ? await Promise.allSettled([followJob(app, id, output, io.stopSignal())])
            : []
        const job = await app.jobs.get(id)
        const attempts = await app.jobs.attempts(id)
        const steps = await app.jobs.steps(id)
        const logs = options.logs === true ? await app.jobs.logs(id) : undefined
        const { input, output: answer, error, status: _, unreadable, ...rest } = job
        const { parked: __, requested: ___, largeOutput: ____, waiting, progress, ...others } = rest
        const { encodedOutput: _____, ...facts } = others
        const whole = { ...job, attempts, steps, ...(logs === undefined ? {} : { logs }) }
        output.result(whole, () =>
          [
            output.facts({
              ...facts,
              status: statusText(job),
              waiting,
              progress: progressText(progress),
              error: error === null ? null : `${error.name}: ${error.message}`,
            }),
            `input ${toJson(input, 2)}`,
            ...(answer === undefined ? [] : [`output ${toJson(answer, 2)}`]),
            ...(unreadable === null ? [] : [`output (encoded) ${unreadable}`]),
            ...(attempts.length === 0 ? [] : [output.table(attempts, attemptColumns)]),
            ...(steps.length === 0
              ? []
              : [
                  output.table(steps, [
                    { heading: 'STEP', value: (step) => step.id },
                    { heading: 'STATUS', value: (step) => step.status },
                    { heading: 'ENDED AT', value: (step) => step.completedAt },
                    {
                      heading: 'OUTPUT OR ERROR',
                      value: (step) =>
                        (step.error !== null
                          ? `${step.error.name}: ${step.error.message}`
                          : step.unreadable === null
                            ? toJson(step.output)
                            : '(encoded, and cannot be read here)'
                        )?.slice(0, 80),
                    },
                  ]),
                ]),
            ...(logs === undefined ? [] : [logs.map(logLine).join('\n')]),
          ].join('\n\n'),
        )
        const [followed] = outcome
        if (followed?.status === 'rejected') throw followed.reason
      }),
    )
}
