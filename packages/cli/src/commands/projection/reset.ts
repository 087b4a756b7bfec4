import type { Command } from 'commander'
import { escapeIdentifier } from 'pg'
import { sequenceZero, type App } from 'tidemark'
import { requireConfirmation, usageError } from '../../cli-error.ts'
import { running, type Context } from '../../command-run.ts'
import { plural } from '../../output/output.ts'
import { getProjection } from '../../output/projection.ts'
import { reading } from '../../output/rows.ts'

interface Options {
  readonly evenPruned?: boolean
  readonly yes?: boolean
}

/** `tidemark projection reset` */
export function addProjectionReset(parent: Command, context: Context): void {
  parent
    .command('reset')
    .description(
      'Empty a projection and derive it again from sequence zero, in place: readers see it grow. Needs its definition from the config.',
    )
    .argument('<name>', 'the projection')
    .option(
      '--even-pruned',
      'even where events that it handles were pruned: it is derived from what is left',
    )
    .option('--yes', 'do it')
    .action(
      running<Options, [string]>(context, async ({ options, session, output }, name) => {
        const app = await session.configuredApp()
        const { cursor, mode } = await getProjection(app, name)
        const definition = (await session.definitions())?.consumers.get(name)
        if (definition === undefined) {
          throw usageError(
            `the config defines no projection "${name}"`,
            'Its tables are in its definition: run this where the code that defines it is.',
          )
        }
        const rows = await countRows(app, definition.tables)
        const events = await app.outbox.count(sequenceZero, cursor)
        const emptied =
          rows.length === 0
            ? 'its state'
            : rows.map((table) => `${plural(table.rows, 'row')} of ${table.name}`).join(', ')
        const replay =
          mode === 'inline'
            ? 'while its publishers wait'
            : 'by whoever runs it; until then it is behind'
        const effect = `deletes ${emptied} and derives it again from ${plural(events, 'event')} of the outbox, ${replay}`
        requireConfirmation(options.yes, `this ${effect}`)
        await app.reset({ name }, { evenPruned: options.evenPruned ?? false })
        output.result(
          { name, from: cursor, tables: rows, events },
          () => `${name} was reset: this ${effect}.`,
        )
      }),
    )
}

interface TableRows {
  readonly name: string
  readonly rows: bigint
}

function countRows(app: App, tables: readonly string[]): Promise<TableRows[]> {
  return reading(app, async (query) => {
    const counted: TableRows[] = []
    for (const name of tables) {
      const table = name.split('.').map(escapeIdentifier).join('.')
      const [row] = await query<{ rows: string }>(`SELECT count(*) AS rows FROM ${table}`)
      counted.push({ name, rows: BigInt(row?.rows ?? 0) })
    }
    return counted
  })
}
