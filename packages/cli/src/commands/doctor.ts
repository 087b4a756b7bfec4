import { Option, type Command } from 'commander'
import type { App, Finding, Repair } from 'tidemark'
import { durationArgument } from '../arguments/arguments.ts'
import { requireConfirmation } from '../cli-error.ts'
import { running, type Context } from '../command-run.ts'
import { exitCode } from '../exit-code.ts'
import { cell, type Output } from '../output/output.ts'

interface Options {
  readonly publisherAge: number
  readonly fix?: boolean
  readonly yes?: boolean
}

/** `tidemark doctor` */
export function addDoctor(parent: Command, context: Context): void {
  parent
    .command('doctor')
    .description(
      'Look for what is wrong: with the server and its settings, migrations, invariants, publishers, listeners, who runs them and how these processes are, dead letters, jobs, schedules, rebuilds, resizes, cursors, partitions, skipped events and stored types. Changes nothing without --fix; exit 3 if a check fails.',
    )
    .addOption(
      new Option(
        '--publisher-age <duration>',
        'how long a transaction may publish before it is named',
      )
        .argParser(durationArgument)
        .default(10_000, '10s'),
    )
    .option(
      '--fix',
      'repair first what needs no decision: missing partitions, rows of dead processes, what is left of rebuilds that are over, wrong counts of jobs. Says what it would do, and does it with --yes',
    )
    .option('--yes', 'do it')
    .action(
      running<Options, []>(context, async ({ options, session, output }) => {
        const app = await session.app()
        const repairs = options.fix === true ? await mend(app, options.yes, output) : null
        const found = await app.doctor.examine({ publisherAge: options.publisherAge })
        const repaired = repairs?.every(({ error }) => error === null) ?? true
        const ok = repaired && found.every(({ status }) => status !== 'failed')
        const findings = { ok, findings: found }
        output.result(repairs === null ? findings : { ...findings, repairs }, () =>
          reportText(output, found),
        )
        return ok ? undefined : exitCode.checkFailed
      }),
    )
}

/** Says what it would repair, and does it if that is confirmed. */
async function mend(
  app: App,
  confirmed: boolean | undefined,
  output: Output,
): Promise<readonly Repair[]> {
  const plan = (await app.repair({ dryRun: true })).flatMap(({ found }) => found)
  if (plan.length > 0) requireConfirmation(confirmed, `this would ${plan.join('; ')}`)
  const repairs = await app.repair()
  for (const { name, found, done, error } of repairs) {
    if (error !== null) output.note(`${name} could not be repaired: ${cell(error.message)}`)
    else if (done) for (const what of found) output.note(`repaired: ${cell(what)}`)
  }
  return repairs
}

function reportText(output: Output, found: readonly Finding[]): string {
  const { green, yellow, red, dim } = output.colors
  const mark = { ok: green('ok     '), warning: yellow('warning'), failed: red('failed ') }
  const width = Math.max(...found.map(({ check }) => check.length))
  return found
    .flatMap(({ check, status, summary, remedy, actions }) => [
      `${mark[status]}  ${check.padEnd(width)}  ${summary}`,
      ...[
        ...(remedy === null ? [] : [remedy]),
        // What is safe to do at once, where the remedy does not name it already.
        ...actions
          .filter(({ command }) => remedy?.includes(`tidemark ${command}\``) !== true)
          .map(({ command }) => `At once: \`tidemark ${cell(command)}\`.`),
      ].map((line) => `${' '.repeat(width + 11)}${dim(line)}`),
    ])
    .join('\n')
}
