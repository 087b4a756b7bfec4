import { setTimeout as delay } from 'node:timers/promises'
import { createTestDatabase, type PostgresServer } from '@tidemark/testing'
import pg from 'pg'
import type { EventSequence } from 'tidemark'
import type { FaultKind, Stage } from './faults/stage.ts'
import { ledgerApp, makeTables, secondApp } from './ledger/application.ts'
import { keepers } from './ledger/listeners.ts'
import { Publishers } from './ledger/publishers.ts'
import { effectsAlways, effectsAtRest } from './oracle/effects.ts'
import { jobsAlways, jobsAtRest } from './oracle/jobs.ts'
import { leftovers } from './oracle/leftovers.ts'
import { compareWithBooks, moneyAlways } from './oracle/money.ts'
import { compareProjections } from './oracle/projections.ts'
import { runChecks, type Check, type Violation } from './oracle/violation.ts'
import { insist, leftOf, Progress } from './progress.ts'
import { Random } from './random.ts'
import { Worker } from './worker-pool.ts'

/** How a round goes. */
export interface RoundOptions {
  readonly server: PostgresServer
  readonly seed: number
  /** How long faults are played, in milliseconds. */
  readonly duration: number
  readonly kinds: readonly FaultKind[]
  /** How many workers there are. Defaults to 2 to 4, as drawn. */
  readonly workers?: number
  /** Told what happens, a line each. */
  readonly note: (line: string) => void
}

/** A fault that was played. */
export interface PlayedFault {
  readonly name: string
  /** Milliseconds from the beginning of the round. */
  readonly at: number
  /** How long it lasted, and how long it took until everything went on, in milliseconds. */
  readonly lasted: number
  readonly recovery: number
}

/** What came of a round. */
export interface RoundResult {
  readonly seed: number
  readonly events: number
  readonly jobs: number
  readonly operations: { readonly done: number; readonly undone: number; readonly lost: number }
  /** Milliseconds. */
  readonly lasted: number
  readonly faults: readonly PlayedFault[]
  readonly violations: readonly (Violation & { readonly after: number })[]
}

const accounts = 20
const settleBound = 120_000
const always: readonly Check[] = [...effectsAlways, ...moneyAlways, ...jobsAlways]

/** Plays faults on a ledger in a database of its own, drawn by the seed, and asks the oracle. */
export async function playRound(options: RoundOptions): Promise<RoundResult> {
  await using round = await Round.begin(options)
  await round.play()
  return round.result()
}

class Round implements AsyncDisposable {
  readonly #options: RoundOptions
  readonly #random: Random
  readonly #pool: pg.Pool
  readonly #started = performance.now()
  readonly #stage: Stage
  readonly #publishers: Publishers
  readonly #progress: Progress
  readonly #own: AsyncDisposable[]
  readonly #deskPool: pg.Pool
  readonly #faults: PlayedFault[] = []
  readonly #violations: (Violation & { after: number })[] = []
  #counts = { events: 0, jobs: 0 }

  private constructor(
    options: RoundOptions,
    random: Random,
    stage: Stage,
    deskPool: pg.Pool,
    own: AsyncDisposable[],
  ) {
    this.#options = options
    this.#random = random
    this.#stage = stage
    this.#pool = stage.pool
    this.#deskPool = deskPool
    this.#own = own
    const { app, second } = stage
    const desk = { app, second, pool: deskPool, random: random.fork(), accounts }
    this.#progress = new Progress(stage.pool, app, random.fork())
    const lag = (): Promise<number> => this.#progress.lag()
    this.#publishers = new Publishers(desk, { count: 6, pause: 25, lag })
  }

  static async begin(options: RoundOptions): Promise<Round> {
    const { server, seed, note } = options
    const random = new Random(seed)
    const database = await createTestDatabase({ server, maxConnections: 1 })
    // The test database's own connection would not survive the server.
    await database.pool.end()
    const { url } = database
    const pool = openPool(url, 4, 'tidemark harness')
    await makeTables(pool, url, accounts)
    // An operator's application and the publishers' are one here.
    const app = ledgerApp(1, { url })
    const second = secondApp({ url, maxConnections: 4 })
    const deskPool = openPool(url, 8, 'desk')
    const clients = new Set<pg.Client>()
    const stage: Stage = {
      random: random.fork(),
      server,
      url,
      pool,
      app,
      second,
      leaseDuration: 2_000,
      workers: [],
      release: 1,
      startWorker: async (release = stage.release, safetyPoll) => {
        const orders = {
          release,
          leaseDuration: stage.leaseDuration,
          doorbell: safetyPoll !== undefined || random.chance(0.85),
          safetyPoll,
        }
        const worker = await Worker.start(url, orders, note)
        stage.workers.push(worker)
        await worker.started()
        return worker
      },
      inQuiet: (work) => round.#publishers.inQuiet(work),
      requireProgress: (promise, bound) => round.#requireProgress(promise, bound),
      violate: (promise, evidence) => round.#violate(promise, evidence),
      connect: async () => {
        const client = new pg.Client({
          connectionString: url,
          application_name: 'tidemark harness',
        })
        client.on('error', () => {})
        clients.add(client)
        await client.connect()
        return client
      },
    }
    await Promise.all(
      Array.from({ length: options.workers ?? random.whole(2, 4) }, () => stage.startWorker()),
    )
    const round = new Round(options, random, stage, deskPool, [
      app,
      second,
      {
        [Symbol.asyncDispose]: async () => {
          await Promise.all([...clients].map((client) => client.end()))
          await pool.end()
        },
      },
      database,
    ])
    return round
  }

  async play(): Promise<void> {
    const { duration, kinds, note } = this.#options
    await this.#probe('the beginning', 60_000)
    const began = performance.now()
    const over = (): boolean => performance.now() - began > duration || this.#violations.length > 0
    for (let first = true; first || !over(); first = false) {
      await delay(this.#random.whole(100, 1_500))
      const chosen = [this.#random.one(kinds)]
      if (this.#random.chance(0.25)) chosen.push(this.#random.one(kinds))
      const name = [...new Set(chosen.map((kind) => kind.name))].join(' + ')
      const at = this.#now()
      note(`${at} ms: ${name}`)
      const played = await Promise.allSettled(
        [...new Set(chosen)].map(({ play }) => play(this.#stage)),
      )
      for (const one of played) {
        // A fault may strike another one's hand.
        if (one.status === 'rejected') note(`it failed: ${String(one.reason)}`)
      }
      const lasted = this.#now() - at
      const recovery = await this.#probe(name, Math.max(...chosen.map(({ bound }) => bound)))
      this.#faults.push({ name, at, lasted, recovery })
      for (const worker of this.#stage.workers) {
        if (worker.hasEnded) this.#violate('a worker does not end by itself', { after: name })
      }
      await this.#check(always)
      await this.#compareProjections()
    }
    if (this.#violations.length === 0) await this.#comeToRest()
  }

  async result(): Promise<RoundResult> {
    const { done, undone, lost, errors } = this.#publishers.books
    for (const [message, times] of errors) this.#options.note(`${times} × ${message}`)
    return {
      seed: this.#options.seed,
      ...this.#counts,
      operations: { done: done.size, undone: undone.size, lost },
      lasted: this.#now(),
      faults: this.#faults,
      violations: this.#violations,
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#publishers.stop()
    await Promise.all(this.#stage.workers.map((worker) => worker.end('SIGKILL')))
    await this.#deskPool.end()
    await this.#progress.decidePrepared('0 s')
    for (const own of this.#own) await own[Symbol.asyncDispose]()
  }

  /** Publishes an event and spawns a job, and waits until everything has gone on with both. Answers how long it took. */
  async #probe(after: string, bound: number): Promise<number> {
    const started = performance.now()
    const left = leftOf(bound)
    try {
      await insist(left, () => this.#progress.decidePrepared('1 s'))
      await this.#progress.follow(left)
      await this.#progress.runJob(bound)
    } catch (error) {
      const promise = `everything goes on within ${bound} ms after: ${after}`
      this.#violate(promise, await this.#progress.evidence(error))
    }
    return Math.round(performance.now() - started)
  }

  async #requireProgress(promise: string, bound: number): Promise<void> {
    try {
      await this.#progress.follow(leftOf(bound))
    } catch (error) {
      this.#violate(promise, { error: String(error), within: bound })
    }
  }

  /** Ends everything in good order, and asks what is left. */
  async #comeToRest(): Promise<void> {
    const { app, second, workers } = this.#stage
    const left = leftOf(settleBound)
    await this.#publishers.stop()
    await this.#progress.decidePrepared('0 s')
    const last = await this.#probe('the last fault', settleBound)
    this.#options.note(`at rest after ${last} ms`)
    await this.#pool.query('INSERT INTO healed VALUES (now())')
    for (const listener of ['parking', 'parking-keys']) await app.deadLetters.retry({ listener })
    for (const { name, status } of await app.listeners.list()) {
      if (status === 'halted') await app.listeners.resume(name)
    }
    const unsettled: readonly (readonly [string, string])[] = [
      ['dead letters are handled', `SELECT FROM tidemark.dead_letters WHERE state <> 'skipped'`],
      [
        'jobs come to an end',
        `SELECT FROM tidemark.jobs WHERE name <> 'tick' AND status IN ('scheduled', 'queued', 'running')`,
      ],
      [
        'rebuilds come to an end',
        'SELECT FROM tidemark.listeners WHERE rebuild_generation IS NOT NULL',
      ],
      ['the dead are forgotten', `SELECT FROM tidemark.processes OFFSET ${workers.length}`],
    ]
    await this.#probe('healing', settleBound)
    for (const [promise, text] of unsettled) {
      while ((await this.#pool.query(text)).rowCount !== 0) {
        if (left() < 0) {
          const { rows: found } = await this.#pool.query(
            text.replace('SELECT FROM', 'SELECT * FROM'),
          )
          this.#violate(`${promise} within ${settleBound} ms`, found.slice(0, 5))
          break
        }
        await delay(50)
      }
    }
    const { rows: ends } = await this.#pool.query<{ sequence: string | null }>(
      'SELECT max(sequence) AS sequence FROM second.events',
    )
    await second
      .waitFor('second', BigInt(ends[0]?.sequence ?? 0) as EventSequence, {
        timeout: Math.max(1_000, left()),
      })
      .catch((error: unknown) => {
        this.#violate('the other install goes on', String(error))
      })
    for (const worker of workers.splice(0)) {
      if (!(await worker.end('SIGTERM', 60_000)))
        this.#violate('a worker ends when it is asked to', null)
    }
    await this.#check([...always, ...effectsAtRest(keepers), ...jobsAtRest])
    await this.#compareProjections()
    for (const one of await compareWithBooks(this.#pool, this.#publishers.books)) {
      this.#violate(one.promise, one.evidence)
    }
    await app.close()
    await second.close()
    await this.#check(leftovers)
    const { rows: counts } = await this.#pool.query<{ events: number; jobs: number }>(
      `SELECT (SELECT count(*) FROM tidemark.events)::integer + (SELECT count(*) FROM second.events)::integer AS events,
         (SELECT count(*) FROM tidemark.jobs)::integer AS jobs`,
    )
    this.#counts = counts[0] ?? this.#counts
  }

  async #check(checks: readonly Check[]): Promise<void> {
    for (const { promise, evidence } of await runChecks(this.#pool, checks)) {
      this.#violate(promise, evidence)
    }
  }

  async #compareProjections(): Promise<void> {
    // A table that is exchanged between two statements of one look is another one: what is wrong stays wrong.
    for (let look = 1; ; look++) {
      const found = await compareProjections(this.#pool)
      if (found.length === 0) return
      if (look === 3) return found.forEach((one) => this.#violate(one.promise, one.evidence))
      await delay(200)
    }
  }

  #violate(promise: string, evidence: unknown): void {
    if (this.#violations.some((one) => one.promise === promise)) return
    this.#options.note(`VIOLATED: ${promise}: ${JSON.stringify(evidence, bigints)}`)
    this.#violations.push({ promise, evidence, after: this.#now() })
  }

  #now(): number {
    return Math.round(performance.now() - this.#started)
  }
}

function bigints(_: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value
}

function openPool(url: string, max: number, name: string): pg.Pool {
  const pool = new pg.Pool({ connectionString: url, max, application_name: name })
  pool.on('error', () => {})
  return pool
}
