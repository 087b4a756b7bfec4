/** Work of the server's, by what causes it. */
export type Work =
  /** Events that are published, so many in each transaction. */
  | { readonly kind: 'publish'; readonly events: number; readonly together: number }
  /** Events that are published in a burst (or one at a time) and go through listeners in some processes. */
  | {
      readonly kind: 'handle'
      readonly events: number
      readonly listeners: number
      readonly processes: number
      /** How many events a listener finds at once. */
      readonly together: number
      /** For how long the processes were there, in seconds. */
      readonly seconds: number
    }
  /** Empty jobs that are spawned one at a time, and run. */
  | { readonly kind: 'jobs'; readonly jobs: number }
  /** Processes that have nothing to do. */
  | {
      readonly kind: 'idle'
      readonly processes: number
      readonly listeners: number
      readonly jobs: boolean
      readonly seconds: number
    }

/** What work costs. Each is counted by the server, so that it is the same on every machine. */
export interface Cost {
  /** Transactions that write. */
  readonly commits: number
  /** Statements, also those that are sent together. */
  readonly statements: number
  readonly walBytes: number
  /** Rows that statements answer or change. */
  readonly rows: number
}

/** The most events that a listener's batch has by default. */
export const batchSize = 500
const pageSize = 1_000

// An event of 110 bytes of JSON with the entries of its indexes; what a transaction of its own adds.
const event = { walBytes: 345, ofTransaction: 55 }
// BEGIN with its limit, the fence, COMMIT, and what makes the session as it was, which travels in one message.
const batch = { commits: 1, statements: 34, walBytes: 210, rows: 4 }
// Two reads of the horizon and one of the page.
const page = { statements: 3 }
// Spawned, claimed and completed, each in a transaction of its own while jobs come one at a time.
const job = { commits: 2.4, statements: 2.8, walBytes: 1_660, rows: 3.2 }
// Of a process, a second: looks at the outbox and at the roster, a sign of life each 2.5 s.
const idle = { statements: 2.5, commits: 0.4, walBytes: 130, rows: 2.5 }
// Of a process that runs jobs, a second; and of the one whose turn it is to look through them all.
const idleJobs = { statements: 6.9, commits: 0, walBytes: 10, rows: 2.4 }
const turns = { statements: 0.4, commits: 0.4, walBytes: 30, rows: 0.4 }
// Of each lease that a sign of life renews, a second.
const lease = { walBytes: 75 }

/** What work costs by how Tidemark does it: each constant above is what one step was counted to cost. */
export function predict(work: Work): Cost {
  switch (work.kind) {
    case 'publish': {
      const transactions = Math.ceil(work.events / work.together)
      return {
        commits: transactions,
        statements: transactions,
        walBytes: work.events * event.walBytes + transactions * event.ofTransaction,
        rows: work.events,
      }
    }
    case 'handle':
      return predictHandling(work)
    case 'jobs':
      return times(job, work.jobs)
    case 'idle':
      return sum(
        times(idle, work.processes * work.seconds),
        times(idleJobs, work.jobs ? work.processes * work.seconds : 0),
        times(turns, work.jobs ? work.seconds : 0),
        times({ ...none, ...lease }, work.listeners * work.seconds),
      )
  }
}

/** Each event is read once in each process that runs listeners, and each listener commits once for a batch. */
function predictHandling(work: Extract<Work, { kind: 'handle' }>): Cost {
  const { events, listeners, processes, together, seconds } = work
  const alone = together === 1
  const following = Math.min(processes, listeners)
  const batches = listeners * Math.ceil(events / Math.min(together, batchSize))
  const pages = following * Math.ceil(events / Math.min(together, pageSize))
  return sum(
    predict({ kind: 'publish', events, together: alone ? 1 : 100_000 }),
    times(batch, batches),
    { ...none, statements: pages * page.statements, rows: events * following },
    predict({ kind: 'idle', processes, listeners, jobs: false, seconds }),
  )
}

/** What one event and one listener of it cost a server, in microseconds of processor time. */
export interface ServerTime {
  /** Of a publisher that publishes one event a transaction. */
  readonly published: number
  /** Of a listener that handles it, with nothing else in its batch. */
  readonly handledAlone: number
  /** Of a listener that handles it in a full batch. */
  readonly handledTogether: number
}

/** How many events a second fill a server of so many cores, if each goes through so many listeners. */
export function capacity(
  time: ServerTime,
  { cores, listeners, alone }: { cores: number; listeners: number; alone: boolean },
): number {
  const handled = alone ? time.handledAlone : time.handledTogether
  return (cores * 1e6) / (time.published + listeners * handled)
}

const none: Cost = { commits: 0, statements: 0, walBytes: 0, rows: 0 }

function times(cost: Cost, factor: number): Cost {
  return {
    commits: cost.commits * factor,
    statements: cost.statements * factor,
    walBytes: cost.walBytes * factor,
    rows: cost.rows * factor,
  }
}

function sum(...costs: readonly Cost[]): Cost {
  return costs.reduce(
    (all, cost) => ({
      commits: all.commits + cost.commits,
      statements: all.statements + cost.statements,
      walBytes: all.walBytes + cost.walBytes,
      rows: all.rows + cost.rows,
    }),
    none,
  )
}
