import { Option, type Command } from 'commander'
import type { EventSequence, TraceNode } from 'tidemark'
import { countArgument, durationArgument, sequenceArgument } from '../../arguments/arguments.ts'
import { CliError } from '../../cli-error.ts'
import { running, type Context } from '../../command-run.ts'
import { millisecondsText } from '../../output/job-table.ts'
import { cell } from '../../output/output.ts'
import { treeLines } from '../../output/tree.ts'

interface Options {
  readonly around: number
  readonly limit: number
}

/** `tidemark event trace` */
export function addEventTrace(parent: Command, context: Context): void {
  parent
    .command('trace')
    .description(
      'Show what led to an event and what came of it, as a tree: events, listeners that spawned, jobs, steps and waits.',
    )
    .argument('<sequence>', 'the event', sequenceArgument)
    .addOption(
      new Option('--around <duration>', 'how long before and after it to look')
        .argParser(durationArgument)
        .default(3_600_000, '1h'),
    )
    .option('--limit <count>', 'the most nodes', countArgument, 1000)
    .action(
      running<Options, [EventSequence]>(context, async ({ options, session, output }, sequence) => {
        const { around, limit } = options
        const app = await session.app()
        const trace = await app.outbox.trace(sequence, { around, limit })
        if (trace === undefined) throw new CliError(`there is no event ${sequence}`)
        const { bold, dim } = output.colors
        output.result(trace, () =>
          treeLines(trace.nodes)
            .map(({ branch, node }) => {
              const text = cell(describe(node))
              return `${dim(branch)}${node.sequence === sequence ? bold(text) : text}`
            })
            .join('\n'),
        )
        if (!output.json && !trace.complete) {
          output.note('There may be more: a chain is looked for in a bounded number of events.')
        }
      }),
    )
}

function describe({ kind, name, id, status, at, endedAt, sequence }: TraceNode): string {
  const took = endedAt === null ? '' : millisecondsText(endedAt.getTime() - at.getTime())
  const when = at.toISOString()
  if (kind === 'event') return `${kind} ${name}  ${sequence ?? id}  ${when}`
  if (kind === 'listener') return `${kind} ${name}  ${status}`
  const what = kind === 'job' ? `${kind} ${name}  ${id}` : `${kind} ${name}`
  return `${what}  ${status}  ${when}  ${took}`.trimEnd()
}
