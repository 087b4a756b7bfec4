import type { Command } from 'commander'
import type { App } from 'tidemark'
import { running, type Context } from '../../command-run.ts'
import { printListener } from '../../output/listener-view.ts'
import { getProjection } from '../../output/projection.ts'
import { reading } from '../../output/rows.ts'

/** `tidemark projection show` */
export function addProjectionShow(parent: Command, context: Context): void {
  parent
    .command('show')
    .description(
      'Show a projection, its partitions, its last error and the state beside its cursor.',
    )
    .argument('<name>', 'the projection')
    .action(
      running<object, [string]>(context, async ({ session, output }, name) => {
        const app = await session.app()
        const projection = await getProjection(app, name)
        printListener(output, projection, { state: await storedState(app, name) })
      }),
    )
}

/** The state as it is stored; null for a projection that keeps its state in tables. */
async function storedState(app: App, name: string): Promise<unknown> {
  const rows = await reading(app, (query) =>
    query<{ state: unknown }>(
      `SELECT c.state FROM "${app.schema}".cursors c
       JOIN "${app.schema}".listeners l ON l.name = c.listener AND l.generation = c.generation
       WHERE l.name = $1 ORDER BY c.partition LIMIT 1`,
      [name],
    ),
  )
  return rows[0]?.state ?? null
}
