import { Option, type Command } from 'commander'
import type { AuditEntry } from 'tidemark'
import { countArgument, sequenceArgument, timeArgument } from '../../arguments/arguments.ts'
import { running, type Context } from '../../command-run.ts'
import type { Column } from '../../output/output.ts'
import { toJson } from '../../output/output.ts'

interface Options {
  readonly by?: string
  readonly via?: string
  readonly action?: string
  readonly name?: string
  readonly outcome?: 'done' | 'refused' | 'failed' | 'open'
  readonly since?: Date
  readonly until?: Date
  readonly before?: bigint
  readonly limit: number
}

const columns: readonly Column<AuditEntry>[] = [
  { heading: 'ID', value: ({ id }) => id, align: 'right' },
  { heading: 'AT', value: ({ at }) => at },
  { heading: 'BY', value: ({ by }) => by },
  { heading: 'VIA', value: ({ via }) => via },
  { heading: 'ACTION', value: ({ action }) => action },
  {
    heading: 'ON',
    value: ({ subject }) => (subject === null ? null : `${subject.kind} ${subject.name}`),
  },
  { heading: 'OUTCOME', value: ({ outcome, code }) => code ?? outcome ?? 'open' },
  { heading: 'ASKED', value: ({ asked }) => toJson(asked).slice(0, 80) },
]

/** `tidemark audit list` */
export function addAuditList(parent: Command, context: Context): void {
  parent
    .command('list')
    .description(
      'List who changed what through HTTP, the console and this command line, the newest first.',
    )
    .option('--by <who>', 'only what this one did')
    .option('--via <way>', 'only what came this way: http, console or cli')
    .option('--action <action>', 'only this action, such as pauseListener')
    .option('--name <name>', 'only what was done to what has this name')
    .addOption(
      new Option(
        '--outcome <outcome>',
        'only with this outcome; open: under way, or unknown',
      ).choices(['done', 'refused', 'failed', 'open']),
    )
    .option('--since <time>', 'only since then', timeArgument)
    .option('--until <time>', 'only before then', timeArgument)
    .option('--before <id>', 'only those before this one', sequenceArgument)
    .option('--limit <count>', 'the most', countArgument, 50)
    .action(
      running<Options, []>(context, async ({ options, session, output }) => {
        const { by, via, action, name, outcome, since, until, before, limit } = options
        const given = { by, via, action, name, outcome, since, until, before }
        const app = await session.app()
        const entries = await app.audit.list({
          ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
          limit,
        })
        output.list(entries, columns, 'Nobody has changed anything yet.')
        const last = entries.at(-1)
        if (!output.json && last !== undefined && entries.length === limit) {
          output.note(`There may be more: --before ${last.id}`)
        }
      }),
    )
}
