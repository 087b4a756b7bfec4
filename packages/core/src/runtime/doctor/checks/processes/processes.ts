import type { ProcessStatus } from '../../../../listener/steered/process-admin.ts'
import type { ProcessTrouble } from '../../../../listener/steered/process-vitals.ts'
import { count, findings, plural, type Finding, type FindingSubject } from '../../finding.ts'
import { type Check } from '../../patient.ts'

const { ok, warning, failed } = findings('processes')

// Leases, delays and ticks are by the server's clock; what a process says of time is off by that much.
const mostClock = 2_000

/** Processes that are silent, old, or not well by their own account. */
export const processes: Check = {
  name: 'processes',
  look: async ({ app }) => {
    const all = await app.processes.list()
    const alive = all.filter((one) => one.alive)
    const problems = [
      ...all.filter((one) => !one.alive).map(silent),
      ...outdated(alive),
      ...alive.flatMap((one) => [
        ...clock(one),
        ...(one.vitals?.troubles ?? []).map((trouble) => troubled(one, trouble)),
      ]),
    ]
    return problems.length > 0
      ? problems
      : [ok(`${plural(alive.length, 'process', 'processes')} well`)]
  },
}

function nameOf({ hostname, pid }: ProcessStatus): string {
  return `${hostname}:${pid}`
}

function subjectOf(process: ProcessStatus): FindingSubject {
  return { kind: 'process', name: nameOf(process) }
}

function silent(process: ProcessStatus): Finding {
  const { silentSeconds, id, leases, jobs } = process
  const holds =
    leases.length + jobs === 0
      ? 'it holds nothing'
      : `it holds ${plural(leases.length, 'lease')} and ${plural(jobs, 'job')}, which others take over when its leases end`
  return warning(
    'process-silent',
    `${nameOf(process)} has not been heard of for ${Math.round(silentSeconds)} s: ${holds}`,
    'See whether it lives, and start another one. One that is dead is forgotten by any worker after six times its lease, a minute by default.',
    { id, silentSeconds, leases, jobs },
    subjectOf(process),
  )
}

/** Those that run an older version of something than another one does. */
function outdated(alive: readonly ProcessStatus[]): Finding[] {
  const newest = new Map<string, number>()
  for (const { kind, name, version } of alive.flatMap(({ definitions }) => definitions)) {
    const key = `${kind} ${name}`
    newest.set(key, Math.max(version, newest.get(key) ?? 0))
  }
  return alive.flatMap((process) => {
    const old = process.definitions.filter(
      ({ kind, name, version }) => version < (newest.get(`${kind} ${name}`) ?? 0),
    )
    if (old.length === 0) return []
    const [first] = old
    const more = old.length === 1 ? '' : `, and ${plural(old.length - 1, 'more definition')}`
    return [
      warning(
        'process-outdated',
        `${nameOf(process)} runs version ${first?.version} of the ${first?.kind} ${first?.name}, and others run ${newest.get(`${first?.kind} ${first?.name}`)}${more}`,
        'Finish the deploy: stop the old process. While both run, each does what it knows.',
        { id: process.id, definitions: old },
        subjectOf(process),
      ),
    ]
  })
}

function clock(process: ProcessStatus): Finding[] {
  const ahead = process.vitals?.clockAhead ?? 0
  if (Math.abs(ahead) < mostClock) return []
  return [
    warning(
      'clock-difference',
      `the clock of ${nameOf(process)} is ${count(Math.abs(ahead))} ms ${ahead > 0 ? 'ahead of' : 'behind'} the server's`,
      'Set the clocks right (NTP). Leases and delays go by the server’s clock, but times that the process makes itself are wrong.',
      { id: process.id, clockAhead: ahead },
      subjectOf(process),
    ),
  ]
}

/** What a process says of itself, with what can be done. */
function troubled(process: ProcessStatus, trouble: ProcessTrouble): Finding {
  const { code, name, seconds, why } = trouble
  const who = nameOf(process)
  const details = { id: process.id, ...trouble }
  const subject = subjectOf(process)
  switch (code) {
    case 'deaf':
      return warning(
        'process-deaf',
        `${who} has heard no notification for ${seconds} s, not even its own: it polls, and is later and costs more`,
        'A pooler in transaction mode loses notifications: give `listenConnectionString`, the server itself.',
        details,
        subject,
      )
    case 'slow':
      return warning(
        'listener-slow',
        `${name} has been ${why} for ${seconds} s in ${who}`,
        'Move slow and external work into a job, or make batches smaller; what it is at, the log and its spans say.',
        details,
        { kind: 'listener', name },
      )
    case 'retention':
      return warning(
        'retention-behind',
        `old events stay, though ${who} is to prune them: ${why}`,
        'Let the one that is named go on, or give up what it needs: `tidemark outbox prune` says what would go.',
        details,
        subject,
      )
    case 'outputs':
      return failed(
        'outputs-refused',
        `the store "${name}" does not take the outputs of jobs in ${who}: ${why}`,
        'Make room in the store, or mend it. Jobs whose outputs it refused fail, and are retried by their policy.',
        details,
        subject,
      )
    case 'pool':
      return warning(
        'pool-exhausted',
        `all connections of the pool "${name}" of ${who} have been in use for ${seconds} s: ${why}`,
        'Look for transactions that stay open, and for connections that are not given back; or raise `maxConnections`.',
        details,
        subject,
      )
    case 'switch':
      return warning(
        'rebuild-not-switching',
        `the rebuild of ${name} has caught up and does not become the live one since ${seconds} s: ${why}`,
        'Look in pg_stat_activity for who holds its tables in a long transaction, and end that; it is tried again by itself.',
        details,
        { kind: 'projection', name },
      )
  }
}
