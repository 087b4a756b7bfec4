import { Option, type Command } from 'commander'
import type { JobTraceNode } from 'tidemark'
import { durationArgument, uuidArgument } from '../../arguments/arguments.ts'
import { running, type Context } from '../../command-run.ts'
import { millisecondsText } from '../../output/job-table.ts'
import { cell } from '../../output/output.ts'
import { treeLines } from '../../output/tree.ts'

interface Options {
  readonly around: number
}

/** `tidemark job trace` */
export function addJobTrace(parent: Command, context: Context): void {
  parent
    .command('trace')
    .description(
      'Show what led to a job and what came of it, as a tree: events, jobs, steps and waits. In SQL: job_trace(id).',
    )
    .argument('<id>', 'the job', uuidArgument)
    .addOption(
      new Option('--around <duration>', 'how long before its spawn and after its end to look')
        .argParser(durationArgument)
        .default(3_600_000, '1h'),
    )
    .action(
      running<Options, [string]>(context, async ({ options, session, output }, id) => {
        const app = await session.app()
        const nodes = await app.jobs.trace(id, { around: options.around })
        const { bold, dim } = output.colors
        output.result(nodes, () =>
          treeLines(nodes)
            .map(({ branch, node }) => {
              const text = cell(describe(node))
              return `${dim(branch)}${node.id === id ? bold(text) : text}`
            })
            .join('\n'),
        )
      }),
    )
}

function describe({ kind, name, id, status, at, endedAt }: JobTraceNode): string {
  const took = endedAt === null ? null : millisecondsText(endedAt.getTime() - at.getTime())
  const what = `${kind} ${name}`
  if (kind === 'event') return `${what}  ${id}  ${at.toISOString()}`
  if (kind === 'job')
    return `${what}  ${id}  ${status}  ${at.toISOString()}  ${took ?? ''}`.trimEnd()
  return `${what}  ${status}  ${at.toISOString()}  ${took ?? ''}`.trimEnd()
}
