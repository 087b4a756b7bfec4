import { defineBenchmark, type Benchmark, type Presentation } from '../benchmark.ts'
import { quantile } from '../measure.ts'
import { fraction, notApplicable, whole, type Table } from '../report.ts'
import type { Accounts } from './accounts.ts'
import { allPeers } from './all-peers.ts'
import { lease, type Peer } from './peer.ts'
import { tryPeer, type Trial } from './trial.ts'

type Described = Pick<Peer, 'name' | 'settings' | 'ordered'> & { readonly version: string | null }

interface PeersResults {
  readonly publishers: number
  readonly seconds: number
  readonly events: number
  readonly peers: readonly Described[]
  /** Those of each round, peer by peer. */
  readonly rounds: readonly (readonly Trial[])[]
}

const publishers = 8

/** Published packages and outboxes written by hand, under the same concurrency on the same server. */
export const peers: Benchmark = defineBenchmark<PeersResults>({
  summary:
    'published packages and outboxes written by hand: missed, twice, out of order, frozen, killed, rates',
  minutes: 25,
  defaults: { runs: 1, seconds: 5 },
  settings: {
    // When effects were committed, by the server's own record.
    track_commit_timestamp: 'on',
    // For who reads the log, and to notice that such a one is frozen.
    wal_level: 'logical',
    wal_sender_timeout: `${lease}s`,
  },
  run: async ({ options, server, progress }) => {
    const { seconds, runs, events = 4_000 } = options
    const rounds: Trial[][] = []
    const chosen = allPeers.filter(({ name }) => name.includes(options.only ?? ''))
    for (let round = 1; round <= runs; round++) {
      const trials: Trial[] = []
      for (const peer of round % 2 === 1 ? chosen : chosen.toReversed()) {
        const trial = await tryPeer(peer, { server, publishers, seconds, events })
        trials.push(trial)
        const { concurrent, killed, frozen } = trial
        const of = (key: 'missed' | 'twice'): string =>
          [concurrent, killed, frozen].map((accounts) => accounts[key]).join(', ')
        progress(
          `round ${round}/${runs}  ${peer.name}  missed ${of('missed')}; twice ${of('twice')}`,
        )
      }
      rounds.push(trials)
    }
    const described = chosen.map(({ name, version = null, settings, ordered }) => ({
      name,
      version,
      settings,
      ordered,
    }))
    return { publishers, seconds, events, peers: described, rounds }
  },
  present,
})

function present({
  publishers: count,
  seconds,
  events,
  peers: all,
  rounds,
}: PeersResults): Presentation {
  const trials = rounds.flat()
  /** A row for each peer, of what was seen in all rounds. */
  const rows = (cells: (of: readonly Trial[], peer: Described) => readonly string[]): string[][] =>
    all.map((peer) => [
      peer.name,
      ...cells(
        trials.filter((one) => one.peer === peer.name),
        peer,
      ),
    ])
  const accounts = (of: readonly Accounts[], { ordered }: Described): string[] => [
    sum(of, 'published'),
    sum(of, 'missed'),
    sum(of, 'twice'),
    ordered ? sum(of, 'disordered') : notApplicable,
  ]
  const unordered =
    'Jobs run side by side, so "out of order" does not apply to them. (A key for each job, which all four queues have in some form, would keep an order, and none was given.)'
  const tables: Table[] = [
    {
      title: `what became of the events of ${count} publishers in ${seconds} s`,
      columns: ['peer', 'published', 'missed', 'twice', 'out of order'],
      rows: rows((of, peer) =>
        accounts(
          of.map(({ concurrent }) => concurrent),
          peer,
        ),
      ),
      notes: [
        'Half of the transactions wait for up to 20 ms between INSERT and COMMIT.',
        unordered,
      ],
    },
    {
      title: 'with a consumer that is killed in the middle and started again',
      columns: [
        'peer',
        'published',
        'missed',
        'twice',
        'out of order',
        'kills',
        'held until released',
      ],
      rows: rows((of, peer) => [
        ...accounts(
          of.map(({ killed }) => killed),
          peer,
        ),
        whole(of.reduce((total, { killed }) => total + killed.kills, 0)),
        sum(
          of.map(({ killed }) => killed),
          'held',
        ),
      ]),
      notes: [
        '"Held until released": had no effect until what the dead processes had locked was unlocked by hand.',
      ],
    },
    {
      title: 'with two consumers, each of which is frozen for 6 s and wakes up',
      columns: [
        'peer',
        'published',
        'missed',
        'twice',
        'out of order',
        'longest time without an effect',
      ],
      rows: rows((of, peer) => [
        ...accounts(
          of.map(({ frozen }) => frozen),
          peer,
        ),
        `${fraction(Math.max(...of.map(({ frozen }) => frozen.longest)) / 1000)} s`,
      ]),
    },
    {
      title: 'behind an unrelated transaction that stays open, and latency at 50 events a second',
      columns: ['peer', 'of 100 within 2 s', 'p50', 'p99'],
      rows: rows((of) => [
        whole(median(of.map((one) => one.behind))),
        `${fraction(median(of.map((one) => one.latency.p50)))} ms`,
        `${fraction(median(of.map((one) => one.latency.p99)))} ms`,
      ]),
      notes: ['From the call that publishes to the commit of the effect.'],
    },
    {
      title: `events a second, ${whole(events)} events`,
      columns: ['peer', 'published', 'caught up, one row each', 'caught up, empty handler'],
      rows: rows((of) => [
        whole(median(of.map(({ publishing }) => publishing))),
        rate(of.flatMap(({ effects }) => effects ?? [])),
        whole(median(of.map(({ handling }) => handling))),
      ]),
      notes: [
        `${count} publishers, an event in each transaction; then a consumer that was not there, for 20 s at most, from its first commit or call to its last (${notApplicable}: all in one commit).`,
      ],
    },
    {
      title: 'who was compared, and how each was set',
      columns: ['peer', 'version', 'settings'],
      rows: all.map(({ name, version, settings }) => [name, version ?? notApplicable, settings]),
    },
  ]
  return { tables }
}

function sum<Key extends string>(of: readonly Readonly<Record<Key, number>>[], key: Key): string {
  return whole(of.reduce((total, one) => total + one[key], 0))
}

const median = (values: readonly number[]): number => quantile(values, 0.5)

const rate = (values: readonly number[]): string =>
  values.length === 0 ? notApplicable : whole(median(values))
