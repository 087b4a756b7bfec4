import { Option, type Command } from 'commander'
import { durationArgument } from '../arguments/arguments.ts'
import type { Finding } from '../bench/sample.ts'
import { stages } from '../bench/stages.ts'
import { liveInstalls, ThrowAwaySchema } from '../bench/throw-away-schema.ts'
import { CliError, requireConfirmation } from '../cli-error.ts'
import { running, type Context } from '../command-run.ts'
import { count, plural, type Column } from '../output/output.ts'

interface Options {
  readonly duration: number
  readonly only?: readonly string[]
  readonly yes?: boolean
}

const columns: readonly Column<Finding>[] = [
  { heading: 'WHAT', value: ({ what }) => what },
  {
    heading: 'A SECOND',
    value: ({ rate }) => (rate === null ? null : count(Math.round(rate))),
    align: 'right',
  },
  { heading: 'P50', value: ({ p50 }) => timeText(p50), align: 'right' },
  { heading: 'P99', value: ({ p99 }) => timeText(p99), align: 'right' },
]

/** `tidemark bench` */
export function addBench(parent: Command, context: Context): void {
  parent
    .command('bench')
    .description(
      'Measure what this database does for Tidemark from here: commits, publishing, a listener and jobs. It works in a schema of its own, which it drops at the end, also when it is interrupted.',
    )
    .addOption(
      new Option('--duration <duration>', 'how long each part takes')
        .argParser(durationArgument)
        .default(3_000, '3s'),
    )
    .addOption(
      new Option('--only <part...>', 'only these parts').choices(stages.map(({ name }) => name)),
    )
    .option('--yes', 'also on a database in which processes work')
    .action(
      running<Options, []>(context, async ({ options, session, output, io }) => {
        const { schema: _, ...connection } = await session.place()
        const live = await liveInstalls(await session.app())
        if (live.length > 0) {
          const who = live.map(
            ({ schema, processes }) =>
              `${plural(processes, 'process', 'processes')} in schema "${schema}"`,
          )
          requireConfirmation(
            options.yes,
            `this takes all that the server has, and live processes work in this database: ${who.join(', ')}`,
          )
        }
        const stopped = io.stopSignal()
        const findings: Finding[] = []
        {
          await using schema = await ThrowAwaySchema.create(connection)
          output.note(`Measuring in schema "${schema.name}", which is dropped at the end.`)
          for (const { name, run } of stages) {
            const wanted = options.only === undefined || options.only.includes(name)
            if (stopped.aborted || !wanted) continue
            output.note(`${name} …`)
            findings.push(...(await run(schema, { duration: options.duration, stopped })))
          }
        }
        if (stopped.aborted) throw new CliError('interrupted: the schema was dropped')
        output.list(findings, columns, 'Nothing was measured.')
      }),
    )
}

function timeText(ms: number | null): string | null {
  return ms === null ? null : `${ms.toFixed(ms < 10 ? 2 : 0)} ms`
}
