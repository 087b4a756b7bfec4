import { Option, type Command } from 'commander'
import type { App, Repair } from 'tidemark'
import { durationArgument } from '../arguments/arguments.ts'
import { requireConfirmation } from '../cli-error.ts'
import { running, type Context } from '../command-run.ts'
import type { Check, Finding, Patient } from '../doctor/check.ts'
import { cursors } from '../doctor/cursors.ts'
import { deadLetters } from '../doctor/dead-letters.ts'
import { invariants } from '../doctor/invariants.ts'
import { jobs } from '../doctor/jobs.ts'
import { listeners } from '../doctor/listeners.ts'
import { migrations } from '../doctor/migrations.ts'
import { partitions } from '../doctor/partitions.ts'
import { publishers } from '../doctor/publishers.ts'
import { rebuilds } from '../doctor/rebuilds.ts'
import { resizes } from '../doctor/resizes.ts'
import { runners } from '../doctor/runners.ts'
import { server } from '../doctor/server.ts'
import { settings } from '../doctor/settings.ts'
import { skips } from '../doctor/skips.ts'
import { types } from '../doctor/types.ts'
import { exitCode } from '../exit-code.ts'
import { cell, type Output } from '../output/output.ts'

interface Options {
  readonly publisherAge: number
  readonly fix?: boolean
  readonly yes?: boolean
}

/** The checks that make sense of any database, and those that need Tidemark's tables. */
const ofServer: readonly Check[] = [server, settings, migrations]
const ofTables: readonly Check[] = [
  invariants,
  publishers,
  listeners,
  runners,
  deadLetters,
  jobs,
  rebuilds,
  resizes,
  cursors,
  partitions,
  skips,
  types,
]

/** `tidemark doctor` */
export function addDoctor(parent: Command, context: Context): void {
  parent
    .command('doctor')
    .description(
      'Look for what is wrong: with the server and its settings, migrations, invariants, publishers, listeners and who runs them, dead letters, jobs, rebuilds, resizes, cursors, partitions, skipped events and stored types. Changes nothing without --fix; exit 3 if a check fails.',
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
        const patient: Patient = {
          app: await session.app(),
          place: await session.place(),
          definitions: await session.definitions(),
          publisherAge: options.publisherAge,
        }
        const repairs = options.fix === true ? await mend(patient.app, options.yes, output) : null
        const found = await examine(patient)
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

async function examine(patient: Patient): Promise<Finding[]> {
  const found: Finding[] = []
  for (const check of ofServer) found.push(...(await check.look(patient)))
  // Without its tables there is nothing else to look at.
  const migrated = found.every(({ check, status }) => check !== 'migrations' || status === 'ok')
  if (!migrated) return found
  for (const check of ofTables) found.push(...(await check.look(patient)))
  return found
}

function reportText(output: Output, found: readonly Finding[]): string {
  const { green, yellow, red, dim } = output.colors
  const mark = { ok: green('ok     '), warning: yellow('warning'), failed: red('failed ') }
  const width = Math.max(...found.map(({ check }) => check.length))
  return found
    .flatMap(({ check, status, summary, remedy }) => [
      `${mark[status]}  ${check.padEnd(width)}  ${summary}`,
      ...(remedy === null ? [] : [`${' '.repeat(width + 11)}${dim(remedy)}`]),
    ])
    .join('\n')
}
