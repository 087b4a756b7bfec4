import { setTimeout as pause } from 'node:timers/promises'
import type { Command } from 'commander'
import type { App, RebuildProgress } from 'tidemark'
import { CliError } from '../../cli-error.ts'
import { running, type Context } from '../../command-run.ts'
import { cell, type Output } from '../../output/output.ts'
import { getProjection } from '../../output/projection.ts'
import { rebuildText } from '../../output/rebuild-view.ts'
import { reading } from '../../output/rows.ts'

interface Options {
  readonly wait?: boolean
}

// Often enough for eyes.
const lookInterval = 250

/** `tidemark projection rebuild` */
export function addProjectionRebuild(parent: Command, context: Context): void {
  parent
    .command('rebuild')
    .description(
      'Derive a projection anew beside the live one, from sequence zero, by whoever runs it. The new one takes its place when it has caught up: readers and publishers notice nothing. Needs its definition from the config.',
    )
    .argument('<name>', 'the projection')
    .option('--wait', 'show the progress on stderr until the new one is live')
    .action(
      running<Options, [string]>(context, async ({ options, session, output, io }, name) => {
        const app = await session.configuredApp()
        await getProjection(app, name)
        const before = await generationsOf(app, name)
        await app.rebuild({ name })
        if (options.wait === true) {
          const { rebuild } = await generationsOf(app, name)
          await warnOfOrphan(app, name, output)
          await untilLive(app, name, rebuild, output, io.stopSignal())
          const { version } = await getProjection(app, name)
          output.result({ name, state: 'live', version }, () => `${name} was rebuilt.`)
          return
        }
        const progress = await app.rebuilds.progress(name)
        output.result(progress ?? null, () =>
          before.rebuild === null
            ? `${name} is being rebuilt. \`tidemark projection show ${name}\` says how far it is.`
            : `${name} is being rebuilt already.`,
        )
      }),
    )
}

/** Says so when nobody is there to run the rebuild, which whoever waits would not see otherwise. */
async function warnOfOrphan(app: App, name: string, output: Output): Promise<void> {
  const orphans = await app.doctor.orphans()
  if (!orphans.some(({ listener, live }) => listener === name && !live)) return
  output.note(
    `${output.stderrColors.yellow('warning:')} no live process can run it; start a worker with its definition`,
  )
}

/** Shows the progress until the generation is live; throws when it will not be, or nobody wants to wait any longer. */
async function untilLive(
  app: App,
  name: string,
  generation: number | null,
  output: Output,
  stopped: AbortSignal,
): Promise<void> {
  let shown = ''
  for (;;) {
    const progress = await app.rebuilds.progress(name)
    if (progress === undefined) {
      const { live } = await generationsOf(app, name)
      // Null: it was switched before anybody could look.
      if (generation === null || live >= generation) return
      throw new CliError(`the rebuild of ${name} was cancelled`)
    }
    if (progress.state === 'halted') throw haltedError(name, progress)
    const text = `${name}: ${rebuildText(progress)}`
    if (text !== shown) output.note(text)
    shown = text
    if (stopped.aborted) {
      throw new CliError(`the rebuild of ${name} is not over`, {
        hint: `It goes on. \`tidemark projection show ${name}\` says how far it is, \`tidemark projection cancel ${name}\` gives it up.`,
      })
    }
    await pause(lookInterval, undefined, { signal: stopped }).catch(() => {})
  }
}

function haltedError(name: string, { error, cursor }: RebuildProgress): CliError {
  const reason = error === null ? '' : `: ${cell(error.message)}`
  return new CliError(`the rebuild of ${name} has halted after sequence ${cursor}${reason}`, {
    hint: `Deploy a fix, then run \`tidemark projection resume ${name}\`; or \`tidemark projection cancel ${name}\`. The live one is untouched.`,
  })
}

/** The live generation of a projection, and the one that is being built. */
async function generationsOf(
  app: App,
  name: string,
): Promise<{ readonly live: number; readonly rebuild: number | null }> {
  const [row] = await reading(app, (query) =>
    query<{ live: number; rebuild: number | null }>(
      `SELECT generation AS live, rebuild_generation AS rebuild FROM "${app.schema}".listeners WHERE name = $1`,
      [name],
    ),
  )
  return row ?? { live: 0, rebuild: null }
}
