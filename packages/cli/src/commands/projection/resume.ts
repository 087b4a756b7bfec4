import type { Command } from 'commander'
import { running, type Context } from '../../command-run.ts'
import { getProjection } from '../../output/projection.ts'
import { rebuildText } from '../../output/rebuild-view.ts'

/** `tidemark projection resume` */
export function addProjectionResume(parent: Command, context: Context): void {
  parent
    .command('resume')
    .description('Let a paused or halted rebuild of a projection go on.')
    .argument('<name>', 'the projection')
    .action(
      running<object, [string]>(context, async ({ session, output }, name) => {
        const app = await session.app()
        await getProjection(app, name)
        await app.rebuilds.resume(name)
        const progress = (await app.rebuilds.progress(name)) ?? null
        output.result(
          progress,
          () => `The rebuild of ${name} goes on: ${rebuildText(progress) ?? 'done'}.`,
        )
      }),
    )
}
