import type { Command } from 'commander'
import { CliError } from '../../cli-error.ts'
import { running, type Context } from '../../command-run.ts'
import { toJson } from '../../output/output.ts'

/** `tidemark projection state` */
export function addProjectionState(parent: Command, context: Context): void {
  parent
    .command('state')
    .description('Show what a projection has stored, or what it has stored for a key.')
    .argument('<name>', 'the projection')
    .argument('[key]', 'of a keyed projection: which')
    .action(
      running<object, [string, string | undefined]>(
        context,
        async ({ session, output }, name, key) => {
          const app = await session.app()
          const stored = await app.projections.state(name, key === undefined ? {} : { key })
          if (stored === undefined) {
            throw new CliError(
              `${name} has stored nothing${key === undefined ? '' : ' for this key'}`,
              {
                hint: 'A keyed projection has a state for each key (`tidemark projection keys`); one with tables of its own keeps none here.',
              },
            )
          }
          const { state, ...facts } = stored
          output.result(stored, () => [output.facts({ ...facts }), toJson(state, 2)].join('\n\n'))
        },
      ),
    )
}
