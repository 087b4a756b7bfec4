import type { ListenerStatus, PartitionStatus } from '../../../../listener/steered/admin.ts'
import { count, type Finding, findings, plural } from '../../finding.ts'
import { type Check } from '../../patient.ts'

const { ok, warning, failed } = findings('listeners')

// In seconds: longer than a burst, or a process that takes over, makes anybody wait.
const mostLag = 30

/** Listeners that have halted, that keep failing, or that nobody ever started. */
export const listeners: Check = {
  name: 'listeners',
  look: async ({ app }) => {
    const all = await app.listeners.list()
    const known = new Set(all.map(({ name }) => name))
    const unstarted = app.consumers
      .filter(({ name }) => !known.has(name))
      .map(({ name, kind }) =>
        warning(
          'listener-not-started',
          `${name} is defined here, but no process has ever started it`,
          'Run `tidemark worker`.',
          { name, kind },
          { kind: kind === 'projection' ? 'projection' : 'listener', name },
        ),
      )
    const { horizon } = await app.outbox.position()
    const problems = [
      ...all.flatMap(look),
      ...all.flatMap((one) => lagging(one, horizon)),
      ...unstarted,
    ]
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

function look(listener: ListenerStatus): readonly Finding[] {
  const { name, kind, status, lag, partitions } = listener
  const subject = { kind: kind === 'projection' ? 'projection' : 'listener', name } as const
  if (status === 'paused') {
    return [
      warning(
        'listener-paused',
        `${name} is paused, ${count(lag)} behind`,
        `Run \`tidemark listener resume ${name}\`.`,
        listener,
        subject,
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
            'listener-waits',
            `${partitionName(listener, partition)} waits at ${partition.cursor} for what is not its events' fault${errorOf(partition)}`,
            `It tries again until that is over, and counts nothing. \`tidemark listener show ${name}\` has the whole error.`,
            listener,
            subject,
          )
        : warning(
            'listener-waits-for-version',
            `${partitionName(listener, partition)} waits at ${partition.cursor} for a process that knows version ${partition.awaits.version} of ${partition.awaits.type}`,
            'Finish the deploy: those that run are too old for what newer ones have published.',
            listener,
            subject,
          ),
    ),
    ...halted.map((partition) =>
      failed(
        'listener-halted',
        `${partitionName(listener, partition)} has halted at ${partition.cursor}${errorOf(partition)}`,
        `Deploy a fix, then run \`tidemark listener resume ${name}\`; or \`tidemark listener skip ${name}\`. \`tidemark listener show ${name}\` has the whole error.`,
        listener,
        subject,
      ),
    ),
    ...failing.map((partition) =>
      warning(
        'listener-failing',
        `${partitionName(listener, partition)} has failed ${plural(partition.attempts, 'time')} on event ${partition.failedSequence} and will try again${errorOf(partition)}`,
        `Look at \`tidemark listener show ${name}\`.`,
        listener,
        subject,
      ),
    ),
  ]
}

/** One that is run, fails at nothing and is behind all the same. Of what is not settled somebody else is the cause. */
function lagging(listener: ListenerStatus, horizon: bigint): readonly Finding[] {
  const { name, kind, status, lag, lagSeconds, partitions } = listener
  const last = partitions.toSorted((a, b) => Number(a.cursor - b.cursor))[0]
  if (last === undefined || status !== 'active' || lagSeconds < mostLag) return []
  // While a batch takes longer than a lease lasts, nobody seems to have it.
  const { attempts, haltedAt, lastError, cursor } = last
  const stands = attempts > 0 || haltedAt !== null || lastError !== null
  if (stands || cursor >= horizon) return []
  return [
    warning(
      'listener-lagging',
      `${partitionName(listener, last)} is ${count(Math.round(lagSeconds))} s behind, ${count(lag)} sequences`,
      partitions.length === 1
        ? 'Give it more partitions, make its handler quicker, or wait until it has caught up.'
        : 'Its keys may be unevenly spread, or its handler slow for some: the rates of its partitions tell.',
      listener,
      { kind: kind === 'projection' ? 'projection' : 'listener', name },
    ),
  ]
}

function partitionName(
  { name, partitions }: ListenerStatus,
  { partition }: PartitionStatus,
): string {
  return partitions.length === 1 ? name : `partition ${partition} of ${name}`
}

function errorOf({ lastError }: PartitionStatus): string {
  return lastError === null ? '' : `: ${lastError.message}`
}
