import { defineBenchmark, type Benchmark, type Presentation } from '../benchmark.ts'
import { fraction, whole } from '../report.ts'
import { allPeers } from './all-peers.ts'
import { tryPeer, type Trial } from './trial.ts'

interface PeersResults {
  readonly publishers: number
  readonly seconds: number
  /** Those of each round, peer by peer. */
  readonly rounds: readonly (readonly Trial[])[]
}

const publishers = 8

/** Outboxes as one writes them by hand, under the same concurrency on the same server. */
export const peers: Benchmark = defineBenchmark<PeersResults>({
  summary:
    'outboxes written by hand under the same concurrency: missed, twice, out of order, latency',
  minutes: 2,
  defaults: { runs: 1 },
  // When effects were committed, by the server's own record.
  settings: { track_commit_timestamp: 'on' },
  run: async ({ options, server, progress }) => {
    const rounds: Trial[][] = []
    const chosen = allPeers.filter(({ name }) => name.includes(options.only ?? ''))
    for (let round = 1; round <= options.runs; round++) {
      const trials: Trial[] = []
      for (const peer of round % 2 === 1 ? chosen : chosen.toReversed()) {
        trials.push(await tryPeer(peer, { server, publishers, seconds: options.seconds }))
        progress(`round ${round}/${options.runs}  ${peer.name}`)
      }
      rounds.push(trials)
    }
    return { publishers, seconds: options.seconds, rounds }
  },
  present,
})

function present({ publishers: count, seconds, rounds }: PeersResults): Presentation {
  const trials = rounds.flat()
  const names = [...new Set(trials.map(({ peer }) => peer))]
  const of = (name: string): readonly Trial[] => trials.filter(({ peer }) => peer === name)
  const sum = (name: string, value: (trial: Trial) => number): string =>
    whole(of(name).reduce((total, trial) => total + value(trial), 0))
  const median = (name: string, value: (trial: Trial) => number): number => {
    const sorted = of(name)
      .map(value)
      .toSorted((a, b) => a - b)
    return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
  }
  return {
    tables: [
      {
        title: `what became of the events of ${count} publishers in ${seconds} s, all rounds together`,
        columns: ['peer', 'published', 'missed', 'twice', 'out of order', 'p50', 'p99'],
        rows: names.map((name) => [
          name,
          sum(name, ({ concurrent }) => concurrent.published),
          sum(name, ({ concurrent }) => concurrent.missed),
          sum(name, ({ concurrent }) => concurrent.twice),
          sum(name, ({ concurrent }) => concurrent.disordered),
          `${fraction(median(name, ({ concurrent }) => concurrent.p50))} ms`,
          `${fraction(median(name, ({ concurrent }) => concurrent.p99))} ms`,
        ]),
        notes: ['Half of the transactions wait for up to 20 ms between INSERT and COMMIT.'],
      },
      {
        title: 'with a consumer that is killed and started again',
        columns: ['peer', 'published', 'kills', 'missed', 'twice', 'out of order'],
        rows: names.map((name) => [
          name,
          sum(name, ({ killed }) => killed.published),
          sum(name, ({ killed }) => killed.kills),
          sum(name, ({ killed }) => killed.missed),
          sum(name, ({ killed }) => killed.twice),
          sum(name, ({ killed }) => killed.disordered),
        ]),
      },
      {
        title: 'behind an unrelated transaction, and rates',
        columns: ['peer', 'of 100 within 2 s', 'published/s', 'caught up, events/s'],
        rows: names.map((name) => [
          name,
          whole(median(name, ({ behind }) => behind)),
          whole(median(name, ({ publishing }) => publishing)),
          whole(median(name, ({ catchUp }) => catchUp)),
        ]),
        notes: names.map((name) => `${name}: ${of(name)[0]?.settings ?? ''}.`),
      },
    ],
  }
}
