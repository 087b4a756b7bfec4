import type { Command } from 'commander'
import { countArgument } from '../../arguments/arguments.ts'
import { running, type Context } from '../../command-run.ts'
import { toJson } from '../../output/output.ts'

interface Options {
  readonly prefix?: string
  readonly after?: string
  readonly limit: number
}

// What is larger is left out: `projection state` has it.
const stateLimit = 65_536

/** `tidemark projection keys` */
export function addProjectionKeys(parent: Command, context: Context): void {
  parent
    .command('keys')
    .description('List the keys of a keyed projection and their states, by key.')
    .argument('<name>', 'the projection')
    .option('--prefix <text>', 'only keys that begin with this')
    .option('--after <key>', 'only keys after this one')
    .option('--limit <count>', 'the most keys', countArgument, 50)
    .action(
      running<Options, [string]>(context, async ({ options, session, output }, name) => {
        const { prefix, after, limit } = options
        const app = await session.app()
        const states = await app.projections.keys(name, {
          limit,
          stateLimit,
          ...(prefix === undefined ? {} : { prefix }),
          ...(after === undefined ? {} : { after }),
        })
        output.list(
          states,
          [
            { heading: 'KEY', value: ({ key }) => key },
            { heading: 'SEQUENCE', value: ({ sequence }) => sequence, align: 'right' },
            { heading: 'BYTES', value: ({ bytes }) => bytes, align: 'right' },
            {
              heading: 'STATE',
              value: ({ state, cut }) => (cut ? '(large)' : toJson(state).slice(0, 80)),
            },
          ],
          `${name} has stored no such keys.`,
        )
        const last = states.at(-1)?.key
        if (!output.json && states.length === limit && last !== undefined && last !== null) {
          output.note(`There may be more: --after ${JSON.stringify(last)}`)
        }
      }),
    )
}
