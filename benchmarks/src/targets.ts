import type { Spread } from './measure.ts'
import { fraction, whole, type Table } from './report.ts'

/** What is to be reached, and which benchmark decides it. */
export interface Target {
  readonly what: string
  readonly target: string
  readonly benchmark: string
}

/** The figures to reach, in the order in which they are shown. */
export const targets = {
  'outbox-insert': {
    what: 'SQL INSERT into the outbox, one event a transaction, 32 clients',
    target: '≥ 0.85 of a bare INSERT',
    benchmark: 'publish',
  },
  'outbox-insert-slow': {
    what: 'the same, commits 2 ms slower',
    target: '≥ 0.85 of a bare INSERT',
    benchmark: 'publish',
  },
  'outbox-notify-slow': {
    what: 'the same, commits 2 ms slower, against a plain INSERT with a NOTIFY in each commit',
    target: '≥ 8 ×',
    benchmark: 'publish',
  },
  transaction: {
    what: '`transaction()` with one event, 32 callers',
    target: "≥ 0.85 of the driver's BEGIN, INSERT, COMMIT",
    benchmark: 'publish',
  },
  coalesced: {
    what: '`publish()` without a transaction, 32 callers',
    target: "≥ 10 × emmett's `appendToStream`",
    benchmark: 'publish',
  },
  'coalesced-slow': {
    what: 'the same, commits 2 ms slower',
    target: "≥ 10 × emmett's `appendToStream`",
    benchmark: 'publish',
  },
  bulk: {
    what: 'bulk publish, arrays of 1,000',
    target: "≥ 2 × emmett's `appendToStream`",
    benchmark: 'publish',
  },
  listener: {
    what: 'listener, one upsert an event',
    target: "≥ 10 × emmett's consumer with an empty handler",
    benchmark: 'listener',
  },
  replay: {
    what: 'replay, state projection, plain JSON',
    target: "≥ 0.6 of the driver's read",
    benchmark: 'replay',
  },
  rebuild: {
    what: 'rebuild of a keyed projection, 1,000 keys',
    target: '≥ 100,000 events/s',
    benchmark: 'rebuild',
  },
  latency: {
    what: 'commit to effect committed, 50 events/s',
    target: 'p50 ≤ 5 ms, p99 ≤ 25 ms',
    benchmark: 'latency',
  },
  'listeners-reads': {
    what: '1 → 30 listeners in a process, steady load',
    target: 'event reads per event do not grow',
    benchmark: 'tail',
  },
  'growth-publish': {
    what: '100,000 → 10 million events: publish',
    target: 'within 1.3 ×',
    benchmark: 'growth',
  },
  'growth-tail': {
    what: '100,000 → 10 million events: tail',
    target: 'within 1.3 ×',
    benchmark: 'growth',
  },
  'jobs-empty': {
    what: 'empty jobs, history kept',
    target: "≥ graphile-worker's batched mode",
    benchmark: 'jobs',
  },
  'jobs-effect': {
    what: 'jobs with a transactional effect',
    target: "≥ 10 × the published peer's 770/s",
    benchmark: 'jobs',
  },
  relay: {
    what: 'relay to JetStream',
    target: "≥ 0.85 of the client's publish with acknowledgements",
    benchmark: 'relay',
  },
  intake: {
    what: 'intake from JetStream',
    target: '≥ 0.6 of a bare consumer that writes batches',
    benchmark: 'relay',
  },
  'service-latency': {
    what: 'commit in one service to effect committed in another, 50 events/s',
    target: 'p50 ≤ 10 ms, p99 ≤ 50 ms',
    benchmark: 'relay',
  },
} as const satisfies Readonly<Record<string, Target>>

/** The name of a target. */
export type TargetName = keyof typeof targets

/** What was measured of a target. */
export interface Reached {
  readonly name: TargetName
  /** With the lowest and the highest round, where there are several. */
  readonly measured: string
  readonly met: 'yes' | 'in the median only' | 'no'
}

/** A ratio or rate that has to be at least so large, in each round. */
export function atLeast(name: TargetName, limit: number, measured: Spread): Reached {
  const met = measured.min >= limit ? 'yes' : measured.median >= limit ? 'in the median only' : 'no'
  return { name, measured: spreadText(measured), met }
}

/** A ratio that may be at most so large, in each round. */
export function atMost(name: TargetName, limit: number, measured: Spread): Reached {
  const met = measured.max <= limit ? 'yes' : measured.median <= limit ? 'in the median only' : 'no'
  return { name, measured: spreadText(measured), met }
}

/** "0.87 (0.81 – 0.93)": the median, the lowest and the highest round. */
export function spreadText({ median, min, max }: Spread): string {
  // From a hundred on, digits after the point mean nothing.
  const show = median < 100 ? fraction : whole
  return `${show(median)} (${show(min)} – ${show(max)})`
}

/** All targets, with what was reached so far. */
export function targetsTable(reached: readonly (Reached & { readonly command: string })[]): Table {
  return {
    title: 'targets',
    columns: ['what', 'target', 'measured', 'met', 'command'],
    rows: Object.entries(targets).map(([name, { what, target, benchmark }]) => {
      const found = reached.find((one) => one.name === name)
      const command = `\`${found?.command ?? `npm run bench -- ${benchmark}`}\``
      return [what, target, found?.measured ?? 'not measured yet', found?.met ?? '', command]
    }),
  }
}
