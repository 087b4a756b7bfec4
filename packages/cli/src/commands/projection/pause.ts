import type { Command } from 'commander'
import { running, type Context } from '../../command-run.ts'
import { getProjection } from '../../output/projection.ts'
import { rebuildText } from '../../output/rebuild-view.ts'

/** `tidemark projection pause` */
export function addProjectionPause(parent: Command, context: Context): void {
  parent
    .command('pause')
    .description(
      'Stop the rebuild of a projection after the batches under way; it keeps what it has. The live one goes on.',
    )
    .argument('<name>', 'the projection')
    .action(
      running<object, [string]>(context, async ({ session, output }, name) => {
        const app = await session.app()
        await getProjection(app, name)
        await app.rebuilds.pause(name)
        const progress = (await app.rebuilds.progress(name)) ?? null
        output.result(
          progress,
          () => `The rebuild of ${name} is paused: ${rebuildText(progress) ?? 'done'}.`,
        )
      }),
    )
}
