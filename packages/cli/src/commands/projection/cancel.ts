import type { Command } from 'commander'
import { TidemarkError } from 'tidemark'
import { requireConfirmation } from '../../cli-error.ts'
import { running, type Context } from '../../command-run.ts'
import { getProjection } from '../../output/projection.ts'
import { rebuildText } from '../../output/rebuild-view.ts'

interface Options {
  readonly yes?: boolean
}

/** `tidemark projection cancel` */
export function addProjectionCancel(parent: Command, context: Context): void {
  parent
    .command('cancel')
    .description(
      'Give the rebuild of a projection up and drop what it made. The live one is untouched.',
    )
    .argument('<name>', 'the projection')
    .option('--yes', 'do it')
    .action(
      running<Options, [string]>(context, async ({ options, session, output }, name) => {
        const app = await session.app()
        await getProjection(app, name)
        const progress = await app.rebuilds.progress(name)
        if (progress === undefined) {
          throw new TidemarkError('TIDEMARK_NO_REBUILD', `${name} is not being rebuilt`)
        }
        requireConfirmation(
          options.yes,
          `this drops the rebuild of ${name}, made up to sequence ${progress.cursor} of ${progress.liveCursor} (${rebuildText(progress)})`,
        )
        await app.rebuilds.cancel(name)
        output.result(
          { name, cancelledAt: progress.cursor },
          () => `The rebuild of ${name} was cancelled; the live one is untouched.`,
        )
      }),
    )
}
