import { defineBenchmark, type Benchmark, type Presentation } from '../benchmark.ts'
import { fraction, notApplicable, whole, type Table } from '../report.ts'
import type { Bench } from '../server.ts'
import { capacity, predict, type Cost, type ServerTime, type Work } from './cost-model.ts'
import { counting } from './counts.ts'
import { measureIdle, type IdleCost, type IdleSize } from './idle.ts'
import { simulate, type Phase } from './simulation.ts'
import { measureSizes, type Counted, type Size } from './sizes.ts'

interface ScaleResults {
  readonly idle: readonly IdleCost[]
  readonly counted: readonly Counted[]
  readonly time: ServerTime | null
  readonly phases: readonly Phase[]
}

const idleSizes: readonly IdleSize[] = [
  { processes: 1, listeners: 1, jobs: 0 },
  { processes: 1, listeners: 1, jobs: 1 },
  { processes: 1, listeners: 10, jobs: 10 },
  { processes: 1, listeners: 100, jobs: 100 },
  { processes: 20, listeners: 100, jobs: 10 },
]
const cluster = { processes: 500, listeners: 200, partitions: 1 }

const sizesWith = (events: number): readonly Size[] => [
  { events: 10_000, listeners: 1, processes: 1 },
  { events: 10_000, listeners: 10, processes: 1 },
  { events: 10_000, listeners: 100, processes: 1 },
  { events: 10_000, listeners: 300, processes: 1 },
  { events: 10_000, listeners: 10, processes: 5 },
  { events: 10_000, listeners: 20, processes: 20 },
  { events: 10_000, listeners: 50, processes: 50 },
  { events: 100_000, listeners: 10, processes: 1 },
  { events, listeners: 1, processes: 1 },
  { listeners: 1, processes: 1 },
  { listeners: 10, processes: 1 },
]

/** What each event, listener, process and job costs a server, where that ends, and how hundreds of processes agree. */
export const scale: Benchmark = defineBenchmark<ScaleResults>({
  summary: 'what events, listeners, processes and jobs cost a server, and 500 simulated processes',
  minutes: 5,
  defaults: { seconds: 10, events: 1_000_000, runs: 1 },
  settings: { ...counting, max_connections: '1000' },
  run: measureScale,
  present,
})

async function measureScale(bench: Bench): Promise<ScaleResults> {
  const counted = await measureSizes(bench, sizesWith(bench.options.events ?? 1_000_000))
  const idle = await measureIdle(bench, idleSizes)
  const phases = await simulate(bench, cluster)
  return { idle, counted, time: serverTimeOf(counted), phases }
}

/** What one more listener adds to the same events. */
function serverTimeOf(counted: readonly Counted[]): ServerTime | null {
  const handled = (listeners: number, together: number): Counted | undefined =>
    counted.find(
      ({ work }) =>
        work.kind === 'handle' &&
        work.listeners === listeners &&
        work.processes === 1 &&
        Math.min(work.together, work.events) === together,
    )
  const more = (few: number, many: number, together: number): number => {
    const [one, other] = [handled(few, together), handled(many, together)]
    if (one?.serverMs === undefined || other?.serverMs === undefined) return Number.NaN
    if (other.work.kind !== 'handle') return Number.NaN
    return ((other.serverMs - one.serverMs) * 1000) / (other.work.events * (many - few))
  }
  const single = counted.find(({ work }) => work.kind === 'publish')
  if (single?.serverMs === undefined || single.work.kind !== 'publish') return null
  return {
    published: (single.serverMs * 1000) / single.work.events,
    handledAlone: more(1, 10, 1),
    handledTogether: more(1, 100, 500),
  }
}

function present({ idle, counted, time, phases }: ScaleResults): Presentation {
  const all = [
    ...counted.map(({ work, counts }) => ({ work, counts })),
    ...idle.map((cost) => ({ work: workOf(cost), counts: cost })),
  ].map(({ work, counts }) => ({ work, counts, model: predict(work) }))
  return {
    tables: [
      {
        title:
          'what the server counted, beside what the model of cost says, and the ratio of the two',
        columns: ['what', 'commits', 'statements', 'WAL, bytes', 'rows'],
        rows: all.map(({ work, counts, model }) => {
          const processes = work.kind === 'idle' ? work.processes : 1
          const cell = (of: keyof Cost): string => beside(counts[of], model[of] / processes)
          return [nameOf(work), cell('commits'), cell('statements'), cell('walBytes'), cell('rows')]
        }),
        notes: [
          'Each cell: counted, predicted, ratio. Idle processes: a second, for each process. Commits are transactions that write. A burst that is larger than what a process keeps of the outbox is read by each listener that falls behind: the model has the rows of those that do not.',
        ],
      },
      idleTable(idle),
      sentTable(idle),
      ...(time === null ? [] : [capacityTable(time)]),
      simulationTable(phases),
    ],
    failures: phases
      .filter(({ unowned, doubled }) => unowned > 0 || doubled > 0)
      .map(({ name, unowned, doubled }) => `${name}: ${unowned} unowned, ${doubled} doubled`),
  }
}

function workOf({ processes, listeners, jobs }: IdleCost): Work {
  return {
    kind: 'idle',
    processes,
    listeners,
    jobs: jobs > 0,
    seconds: 1,
  }
}

function nameOf(work: Work): string {
  switch (work.kind) {
    case 'publish':
      return `${whole(work.events)} events, one a transaction`
    case 'jobs':
      return `${whole(work.jobs)} jobs, one a transaction`
    case 'idle':
      return `idle: ${work.listeners} listeners, ${work.processes} processes${work.jobs ? ', jobs' : ''}`
    case 'handle': {
      const how = work.together === 1 ? 'one at a time' : 'at once'
      return `${whole(work.events)} events ${how}, ${work.listeners} listeners, ${work.processes} processes`
    }
  }
}

function beside(counted: number, predicted: number): string {
  return `${figure(counted)}, ${figure(predicted)}, ${fraction(counted / predicted)}`
}

const figure = (value: number): string => (value < 100 ? fraction(value) : whole(value))

function idleTable(idle: readonly IdleCost[]): Table {
  return {
    title: 'an application that has nothing to do: each process, each second',
    columns: [
      'processes',
      'listeners',
      'types of jobs',
      'statements',
      'commits',
      'server',
      'process',
      'connections',
      'memory of the server',
    ],
    rows: idle.map((cost) => [
      whole(cost.processes),
      whole(cost.listeners),
      whole(cost.jobs),
      fraction(cost.statements),
      fraction(cost.commits),
      cost.serverMs === undefined ? notApplicable : `${fraction(cost.serverMs)} ms`,
      `${fraction(cost.clientMs)} ms`,
      fraction(cost.connections),
      cost.privateBytes === undefined
        ? notApplicable
        : `${fraction(cost.privateBytes / 1024 / 1024)} MB`,
    ]),
    notes: [
      'Processor time is that of the server and of the process that runs the applications. Memory is what no other process of the server shares.',
    ],
  }
}

/** The statements of the one that has the most to look after. */
function sentTable(idle: readonly IdleCost[]): Table {
  const columns = idle.filter(({ processes }) => processes === 1)
  const names = [...new Set(columns.flatMap(({ sent }) => sent.map(({ name }) => name)))]
  return {
    title: 'what it sends, times a second',
    columns: [
      'statement',
      ...columns.map(({ listeners, jobs }) => `${listeners} listeners, ${jobs} jobs`),
    ],
    rows: names.map((name) => [
      `\`${name}\``,
      ...columns.map(({ sent }) => {
        const calls = sent.find((one) => one.name === name)?.calls
        return calls === undefined ? notApplicable : fraction(calls)
      }),
    ]),
  }
}

function capacityTable(time: ServerTime): Table {
  const cores = [2, 8, 32]
  const cells = (listeners: number): string[] =>
    [true, false].flatMap((alone) =>
      cores.map((count) => whole(capacity(time, { cores: count, listeners, alone }))),
    )
  return {
    title: 'events a second that fill the processors of a server',
    columns: [
      'listeners',
      ...cores.map((count) => `${count} cores, each event alone`),
      ...cores.map((count) => `${count} cores, full batches`),
    ],
    rows: [1, 10, 30, 100, 300].map((listeners) => [whole(listeners), ...cells(listeners)]),
    notes: [
      `Of measured processor time of the server: ${whole(time.published)} µs to publish an event in a transaction of its own, ${whole(time.handledAlone)} µs for a listener that handles an event alone, ${fraction(time.handledTogether)} µs in a batch of 500; empty handlers. The more there is to do, the larger batches become: what a server carries lies between the two.`,
    ],
  }
}

function simulationTable(phases: readonly Phase[]): Table {
  return {
    title: `${cluster.processes} simulated processes and ${cluster.listeners} listeners`,
    columns: [
      'what happens',
      'all owned, evenly, after',
      'queries a second',
      'answers, kB a second',
      'longest roster, kB',
      'unowned',
      'owned twice',
    ],
    rows: phases.map((phase) => [
      phase.name,
      phase.converged === null ? notApplicable : `${fraction(phase.converged)} s`,
      whole(phase.queriesPerSecond),
      whole(phase.bytesPerSecond / 1000),
      whole(phase.longestRoster / 1000),
      whole(phase.unowned),
      whole(phase.doubled),
    ]),
    notes: [
      'The statements and the decisions are those of a runner, the server is a real one, and only its clock is simulated. Leases last 10 s.',
    ],
  }
}
