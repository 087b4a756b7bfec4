import { createTestDatabase } from '@tidemark/testing'
import type { Bench } from '../server.ts'
import { SimulatedProcess } from './simulated-process.ts'
import { SimulatedServer, type Traffic } from './simulated-server.ts'

/** What a cluster did in one phase of its life. */
export interface Phase {
  readonly name: string
  readonly processes: number
  /** Simulated seconds until every partition had an owner and none had two more than another; null: that was no question. */
  readonly converged: number | null
  /** Simulated seconds that were counted. */
  readonly seconds: number
  readonly queriesPerSecond: number
  readonly bytesPerSecond: number
  /** Bytes of the longest answer of a roster. */
  readonly longestRoster: number
  /** Partitions without an owner and with two of them, at the end. */
  readonly unowned: number
  readonly doubled: number
}

interface Due {
  at: number
  readonly process: SimulatedProcess
  readonly act: () => Promise<number>
}

/** Simulates hundreds of processes on a real server, with the statements and the decisions of a runner. */
export async function simulate(
  { server, progress }: Bench,
  {
    processes,
    listeners,
    partitions,
  }: { processes: number; listeners: number; partitions: number },
): Promise<Phase[]> {
  await using database = await createTestDatabase({ server })
  await database.query(
    `INSERT INTO tidemark.listeners (name, kind, mode, version, definition, partitions)
     SELECT 'listener_' || n, 'listener', 'async', 1, '{"types": ["orders.order_placed"]}', $2
     FROM generate_series(1, $1::integer) AS n`,
    [listeners, partitions],
  )
  await database.query(
    `INSERT INTO tidemark.cursors (listener, generation, partition, cursor)
     SELECT name, generation, p, 0 FROM tidemark.listeners, generate_series(0, partitions - 1) AS p`,
  )
  await using simulated = await SimulatedServer.on(database)
  const cluster = new Cluster(simulated, listeners * partitions, definitionsOf(listeners))
  const phases: Phase[] = []
  const phase = async (name: string, run: () => Promise<number | null>): Promise<void> => {
    const found = await cluster.phase(name, run)
    phases.push(found)
    progress(
      `${name}: ${found.converged === null ? '' : `converged after ${found.converged.toFixed(1)} s, `}${Math.round(found.queriesPerSecond)} queries/s, ${Math.round(found.bytesPerSecond / 1000)} kB/s; ${found.unowned} unowned, ${found.doubled} doubled`,
    )
  }
  await phase('all start at once', async () => {
    for (let n = 0; n < processes; n++) await cluster.start(Math.random() * 500)
    await cluster.pass(0.5)
    return cluster.converge()
  })
  // Until all have heard of the last change.
  await cluster.pass(5)
  await phase('nothing happens', () => cluster.pass(10))
  await phase('a third dies at once', async () => {
    cluster.kill(Math.floor(processes / 3))
    return cluster.converge()
  })
  await phase('as many come back', async () => {
    for (let n = 0; n < Math.floor(processes / 3); n++) await cluster.start(Math.random() * 5_000)
    await cluster.pass(5)
    return cluster.converge()
  })
  await phase('all are deployed anew, one after the other', async () => {
    await cluster.replaceAll(50)
    return cluster.converge()
  })
  return phases
}

/** What a process says that it can run, as a runner writes it down. */
function definitionsOf(listeners: number): string {
  return JSON.stringify(
    Array.from({ length: listeners }, (_, n) => ({
      name: `listener_${n + 1}`,
      kind: 'listener',
      version: 1,
      types: ['orders.order_placed'],
      versions: { 'orders.order_placed': 1 },
    })),
  )
}

class Cluster {
  readonly #server: SimulatedServer
  readonly #partitions: number
  readonly #definitions: string
  #processes: SimulatedProcess[] = []
  #due: Due[] = []

  constructor(server: SimulatedServer, partitions: number, definitions: string) {
    this.#server = server
    this.#partitions = partitions
    this.#definitions = definitions
  }

  /** Counts what is asked in a phase. */
  async phase(name: string, run: () => Promise<number | null>): Promise<Phase> {
    this.#server.traffic.clear()
    const began = this.#server.now
    const converged = await run()
    const seconds = (this.#server.now - began) / 1000
    const all = [...this.#server.traffic.values()]
    const sum = (of: (traffic: Traffic) => number): number =>
      all.reduce((total, traffic) => total + of(traffic), 0)
    return {
      name,
      processes: this.#processes.length,
      converged,
      seconds,
      queriesPerSecond: sum(({ queries }) => queries) / seconds,
      bytesPerSecond: sum(({ bytes }) => bytes) / seconds,
      longestRoster: this.#server.traffic.get('tidemark.read_roster')?.most ?? 0,
      ...(await this.#owners()),
    }
  }

  /** A process that begins in so many milliseconds. */
  async start(after: number): Promise<void> {
    const process = new SimulatedProcess(this.#server, this.#definitions)
    this.#processes.push(process)
    const at = this.#server.now + after
    const first = async (): Promise<number> => {
      await process.register()
      this.#due.push(
        { at: at + 2_500, process, act: () => process.beat() },
        { at: at + 1, process, act: () => process.balance() },
        { at: at + 2, process, act: () => process.follow() },
      )
      return Number.POSITIVE_INFINITY
    }
    this.#due.push({ at, process, act: first })
  }

  /** Ends so many, any of them, without a word. */
  kill(count: number): void {
    for (const process of this.#processes.splice(0, count)) process.die()
  }

  /** Ends all in an orderly way and starts as many, so many a second. */
  async replaceAll(perSecond: number): Promise<void> {
    const old = [...this.#processes]
    for (const process of old) {
      await this.start(0)
      await process.stop()
      this.#processes = this.#processes.filter((one) => one !== process)
      await this.pass(1 / perSecond)
    }
  }

  /** Lets so many seconds pass. */
  async pass(seconds: number): Promise<null> {
    const end = this.#server.now + seconds * 1000
    while (await this.#step(end));
    await this.#server.moveTo(end)
    return null
  }

  /** Lets time pass until everything is owned, evenly; answers how long that took, in seconds. */
  async converge(): Promise<number> {
    const began = this.#server.now
    while (this.#server.now - began < 120_000) {
      await this.pass(0.25)
      if (await this.#isEven()) return (this.#server.now - began) / 1000
    }
    throw new Error('the cluster has not converged within two minutes')
  }

  /** What is due next, before `end`. */
  async #step(end: number): Promise<boolean> {
    this.#due = this.#due.filter(({ process }) => process.alive)
    let next: Due | undefined
    for (const due of this.#due) if (next === undefined || due.at < next.at) next = due
    if (next === undefined || next.at > end) return false
    await this.#server.moveTo(next.at)
    next.at += await next.act()
    if (next.at === Number.POSITIVE_INFINITY) this.#due.splice(this.#due.indexOf(next), 1)
    return true
  }

  async #isEven(): Promise<boolean> {
    const { unowned, doubled } = await this.#owners()
    if (unowned > 0 || doubled > 0) return false
    const sizes = this.#processes.map(({ size }) => size)
    return Math.max(...sizes) - Math.min(...sizes) <= 1
  }

  /** Whoever believes to have a lease, beside what the database says. */
  async #owners(): Promise<{ unowned: number; doubled: number }> {
    const held = this.#processes.flatMap(({ places }) => places)
    const [row] = await this.#server.look<{ owned: number }>(
      `SELECT count(*)::integer AS owned FROM tidemark.cursors
       WHERE owner IS NOT NULL AND lease_until > clock_timestamp()`,
    )
    const distinct = new Set(held).size
    return {
      unowned: Math.max(this.#partitions - distinct, this.#partitions - (row?.owned ?? 0)),
      doubled: held.length - distinct,
    }
  }
}
