import { listListeners, type ListenerView, type PartitionView } from '../output/listener-view.ts'
import { count, plural } from '../output/output.ts'
import { findings, type Check, type Finding } from './check.ts'

const { ok, warning, failed } = findings('listeners')

/** Listeners that have halted, that keep failing, or that nobody ever started. */
export const listeners: Check = {
  name: 'listeners',
  look: async ({ app, definitions }) => {
    const all = await listListeners(app)
    const known = new Set(all.map(({ name }) => name))
    const unstarted = [...(definitions?.consumers.values() ?? [])]
      .filter(({ name }) => !known.has(name))
      .map(({ name, kind }) =>
        warning(
          `${name} is defined in the config, but no process has ever started it`,
          'Run `tidemark worker`.',
          { name, kind },
        ),
      )
    const problems = [...all.flatMap(look), ...unstarted]
    if (problems.length > 0) return problems
    return [
      ok(
        all.length === 0
          ? 'none has been started yet'
          : `${plural(all.length, 'listener')}, none halted`,
      ),
    ]
  },
}

function look(listener: ListenerView): readonly Finding[] {
  const { name, status, lag, partitions } = listener
  if (status === 'paused') {
    return [
      warning(
        `${name} is paused, ${count(lag)} behind`,
        `Run \`tidemark listener resume ${name}\`.`,
        listener,
      ),
    ]
  }
  const halted = partitions.filter(({ haltedAt }) => haltedAt !== null)
  const failing = partitions.filter(({ haltedAt, attempts }) => haltedAt === null && attempts > 0)
  const waiting = partitions.filter(
    ({ haltedAt, attempts, lastError, awaits }) =>
      awaits !== null || (haltedAt === null && attempts === 0 && lastError !== null),
  )
  return [
    ...waiting.map((partition) =>
      partition.awaits === null
        ? warning(
            `${partitionName(listener, partition)} waits at ${partition.cursor} for what is not its events' fault${errorOf(partition)}`,
            `It tries again until that is over, and counts nothing. \`tidemark listener show ${name}\` has the whole error.`,
            listener,
          )
        : warning(
            `${partitionName(listener, partition)} waits at ${partition.cursor} for a process that knows version ${partition.awaits.version} of ${partition.awaits.type}`,
            'Finish the deploy: those that run are too old for what newer ones have published.',
            listener,
          ),
    ),
    ...halted.map((partition) =>
      failed(
        `${partitionName(listener, partition)} has halted at ${partition.cursor}${errorOf(partition)}`,
        `Deploy a fix, then run \`tidemark listener resume ${name}\`; or \`tidemark listener skip ${name}\`. \`tidemark listener show ${name}\` has the whole error.`,
        listener,
      ),
    ),
    ...failing.map((partition) =>
      warning(
        `${partitionName(listener, partition)} has failed ${plural(partition.attempts, 'time')} on event ${partition.failedSequence} and will try again${errorOf(partition)}`,
        `Look at \`tidemark listener show ${name}\`.`,
        listener,
      ),
    ),
  ]
}

function partitionName({ name, partitions }: ListenerView, { partition }: PartitionView): string {
  return partitions.length === 1 ? name : `partition ${partition} of ${name}`
}

function errorOf({ lastError }: PartitionView): string {
  return lastError === null ? '' : `: ${lastError.message}`
}
