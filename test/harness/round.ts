import { setTimeout as delay } from 'node:timers/promises'
import { createTestDatabase, type PostgresServer } from '@tidemark/testing'
import pg from 'pg'
import { isTidemarkError, type App, type EventSequence } from 'tidemark'
import type { FaultKind, Stage } from './faults/stage.ts'
import { ledgerApp, makeTables, secondApp } from './ledger/application.ts'
import { settle, story, wander } from './ledger/jobs.ts'
import { keepers } from './ledger/listeners.ts'
import { Publishers } from './ledger/publishers.ts'
import { effectsAlways, effectsAtRest } from './oracle/effects.ts'
import { jobsAlways, jobsAtRest } from './oracle/jobs.ts'
import { leftovers } from './oracle/leftovers.ts'
import { compareWithBooks, moneyAlways } from './oracle/money.ts'
import { compareProjections } from './oracle/projections.ts'
import { Tries } from './oracle/tries.ts'
import { runChecks, type Check, type Violation } from './oracle/violation.ts'
import { Late, Pace, within, type Left, type Slowness } from './pace.ts'
import { insist, Progress } from './progress.ts'
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
  /** How long it lasted, and how long it took until everything went on, in milliseconds of the clock. */
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
  readonly slowness: Slowness
  readonly faults: readonly PlayedFault[]
  readonly violations: readonly (Violation & { readonly after: number })[]
}

const accounts = 20
const manyOf = { settle, story, wander }
const settleBound = 120_000
// What is begun in a round and takes longer than this, hangs. In milliseconds of a machine that does nothing else.
const hangs = 90_000
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
  readonly #own: readonly (readonly [string, AsyncDisposable])[]
  readonly #pace: Pace
  readonly #over = new AbortController()
  readonly #deskPool: pg.Pool
  readonly #faults: PlayedFault[] = []
  readonly #violations: (Violation & { after: number })[] = []
  #counts = { events: 0, jobs: 0 }

  private constructor(
    options: RoundOptions,
    random: Random,
    stage: Stage,
    deskPool: pg.Pool,
    pace: Pace,
    own: readonly (readonly [string, AsyncDisposable])[],
  ) {
    this.#options = options
    this.#random = random
    this.#stage = stage
    this.#pool = stage.pool
    this.#deskPool = deskPool
    this.#own = own
    this.#pace = pace
    const { app, second } = stage
    const desk = { app, second, pool: deskPool, random: random.fork(), accounts }
    this.#progress = new Progress(stage.pool, app, random.fork(), pace)
    const lag = (): Promise<number> => this.#progress.lag()
    this.#publishers = new Publishers(desk, { count: 6, pause: 25, lag })
    void this.#decideForTheLost()
    void this.#watch()
  }

  static async begin(options: RoundOptions): Promise<Round> {
    const { server, seed, note } = options
    const random = new Random(seed)
    const pace = new Pace()
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
    let bursts = 0
    const tries = new Tries((promise, evidence) => round.#violate(promise, evidence))
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
        const worker = await Worker.start(url, orders, pace, (line) => {
          note(line)
          tries.read(line)
        })
        stage.workers.push(worker)
        await within('a worker to start', pace.left(hangs), worker.started())
        return worker
      },
      spawnMany: async (kind, count) => {
        const burst = (bursts += 1)
        await app.transaction(async ({ spawn }) => {
          for (let n = 0; n < count; n++) {
            await spawn(manyOf[kind], { op: `burst-${burst}-${n}` })
          }
        })
      },
      inQuiet: (work) => round.#publishers.inQuiet(work),
      requireProgress: (promise, bound) => round.#requireProgress(promise, bound),
      violate: (promise, evidence) => round.#violate(promise, evidence),
      connect: async () => {
        const client = new pg.Client({ ...patience, ...namedFor(url, 'tidemark harness') })
        client.on('error', () => {})
        clients.add(client)
        await client.connect()
        return client
      },
    }
    await Promise.all(
      Array.from({ length: options.workers ?? random.whole(2, 4) }, () => stage.startWorker()),
    )
    const closing = (close: () => Promise<unknown>): AsyncDisposable => ({
      [Symbol.asyncDispose]: async () => void (await close()),
    })
    const round = new Round(options, random, stage, deskPool, pace, [
      ['the application', app],
      ['the other application', second],
      ['clients', closing(() => Promise.all([...clients].map((client) => client.end())))],
      ['connections', closing(() => pool.end())],
      ['the database', database],
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
        [...new Set(chosen)].map((kind) =>
          within(`the end of the fault "${kind.name}"`, this.#left(hangs), kind.play(this.#stage)),
        ),
      )
      for (const one of played) {
        if (one.status === 'fulfilled') continue
        // A fault may strike another one's hand; but none waits for ever.
        note(`it failed: ${String(one.reason)}`)
        if (one.reason instanceof Late)
          await this.#late('what is begun comes to an end', one.reason)
      }
      const lasted = this.#now() - at
      const recovery = await this.#probe(name, Math.max(...chosen.map(({ bound }) => bound)))
      this.#faults.push({ name, at, lasted, recovery })
      for (const worker of this.#stage.workers) {
        if (worker.hasEnded) this.#violate('a worker does not end by itself', { after: name })
      }
      try {
        await this.#check(always)
        await this.#compareProjections()
      } catch (error) {
        // Of a fault that was not waited for any longer, the server may be away.
        if (this.#violations.length === 0) throw error
      }
    }
    if (this.#violations.length > 0) return
    try {
      await this.#comeToRest()
    } catch (error) {
      await this.#late('a round comes to rest', error)
    }
  }

  async result(): Promise<RoundResult> {
    const { done, undone, lost, errors } = this.#publishers.books
    for (const [message, times] of errors) this.#options.note(`${times} × ${message}`)
    return {
      seed: this.#options.seed,
      ...this.#counts,
      operations: { done: done.size, undone: undone.size, lost },
      lasted: this.#now(),
      slowness: this.#pace.slowness,
      faults: this.#faults,
      violations: this.#violations,
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const parts: readonly (readonly [string, () => PromiseLike<unknown>])[] = [
      // It is the server's, and stays full until somebody asks: the next round has no workers yet.
      [
        'the queue of notifications',
        () => this.#pool.query('SELECT pg_notification_queue_usage()'),
      ],
      ['publishers', () => this.#publishers.stop()],
      ['workers', () => Promise.all(this.#stage.workers.map((worker) => worker.end('SIGKILL')))],
      ["publishers' connections", () => this.#deskPool.end()],
      ...this.#own.map(([name, own]) => [name, () => own[Symbol.asyncDispose]()] as const),
    ]
    for (const [name, end] of parts) {
      // What does not end is left to itself: the next round has a database of its own.
      await within(`the end of ${name}`, this.#pace.left(hangs / 3), Promise.resolve(end())).catch(
        (error: unknown) => this.#options.note(String(error)),
      )
    }
    this.#over.abort()
    await this.#pace[Symbol.asyncDispose]()
  }

  /** Decides what was prepared by those who have lost their connection: others wait for it. */
  async #decideForTheLost(): Promise<void> {
    while (!this.#over.signal.aborted) {
      // The server may be away: then there is nothing to decide.
      await this.#progress.decidePrepared('2 s').catch(() => {})
      await delay(1_000, undefined, { ref: false })
    }
  }

  /** What holds at any moment is looked at all the time: a bug that stops everything is seen by what it did before. */
  async #watch(): Promise<void> {
    while (!this.#over.signal.aborted && this.#violations.length === 0) {
      await delay(3_000, undefined, { ref: false })
      // The server may be away.
      await this.#check([...effectsAlways, ...jobsAlways]).catch(() => {})
    }
  }

  /** A time to wait; when a promise has been broken, nothing is waited for any longer. */
  #left(milliseconds: number): Left {
    const left = this.#pace.left(milliseconds)
    return () => (this.#violations.length > 0 ? Number.NEGATIVE_INFINITY : left())
  }

  async #late(promise: string, error: unknown): Promise<void> {
    if (this.#violations.length > 0) return
    this.#violate(promise, await this.#evidence(error))
  }

  async #evidence(error: unknown): Promise<unknown> {
    return within('evidence', this.#pace.left(20_000), this.#progress.evidence(error)).catch(
      (reason: unknown) => ({ error: String(error), evidence: String(reason) }),
    )
  }

  /** Publishes an event and spawns a job, and waits until everything has gone on with both. Answers how long it took. */
  async #probe(after: string, bound: number): Promise<number> {
    const started = performance.now()
    const left = this.#left(bound)
    try {
      await insist('what is prepared to be decided', left, () =>
        this.#progress.decidePrepared('1 s'),
      )
      await this.#progress.follow(left)
      await this.#progress.runJob(bound)
    } catch (error) {
      if (this.#violations.length > 0) return 0
      const promise = `everything goes on within ${bound} ms after: ${after}`
      this.#violate(promise, await this.#evidence(error))
    }
    return Math.round(performance.now() - started)
  }

  async #requireProgress(promise: string, bound: number): Promise<void> {
    try {
      await this.#progress.follow(this.#left(bound))
    } catch (error) {
      if (this.#violations.length > 0) return
      this.#violate(promise, { within: bound, found: await this.#evidence(error) })
    }
  }

  /** Ends everything in good order, and asks what is left. */
  async #comeToRest(): Promise<void> {
    const { app, second, workers } = this.#stage
    const left = this.#left(settleBound)
    await within('publishers to end', this.#left(hangs), this.#publishers.stop())
    await this.#progress.decidePrepared('0 s')
    const last = await this.#probe('the last fault', settleBound)
    this.#options.note(`at rest after ${last} ms`)
    await this.#pool.query('INSERT INTO healed VALUES (now())')
    await within('operators to heal it', this.#left(hangs), this.#heal())
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
      // Not by their number: the row of one that has just died may stand for one that has just started.
      [
        'the dead are forgotten',
        `SELECT FROM tidemark.processes WHERE pid <> ALL ('{${workers.map(({ pid }) => pid).join()}}')`,
      ],
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
    const end = BigInt(ends[0]?.sequence ?? 0) as EventSequence
    await within('the other install', left, insistOnSecond(second, end, left)).catch(
      (error: unknown) => this.#violate('the other install goes on', String(error)),
    )
    for (const worker of workers.splice(0)) {
      if (!(await worker.end('SIGTERM', 60_000)))
        this.#violate('a worker ends when it is asked to', null)
    }
    await this.#check([...always, ...effectsAtRest(keepers), ...jobsAtRest])
    await this.#compareProjections()
    for (const one of await compareWithBooks(this.#pool, this.#publishers.books)) {
      this.#violate(one.promise, one.evidence)
    }
    await within(
      'applications to close',
      this.#left(hangs),
      Promise.all([app.close(), second.close()]),
    )
    await this.#check(leftovers)
    const { rows: counts } = await this.#pool.query<{ events: number; jobs: number }>(
      `SELECT (SELECT count(*) FROM tidemark.events)::integer + (SELECT count(*) FROM second.events)::integer AS events,
         (SELECT count(*) FROM tidemark.jobs)::integer AS jobs`,
    )
    this.#counts = counts[0] ?? this.#counts
  }

  async #heal(): Promise<void> {
    const { app } = this.#stage
    for (const listener of ['parking', 'parking-keys']) await app.deadLetters.retry({ listener })
    for (const { name, status } of await app.listeners.list()) {
      if (status === 'halted') await app.listeners.resume(name)
    }
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

async function insistOnSecond(second: App, end: EventSequence, left: Left): Promise<void> {
  for (;;) {
    try {
      await second.waitFor('second', end, { timeout: 2_000 })
      return
    } catch (error) {
      if (!isTidemarkError(error, 'TIDEMARK_WAIT_TIMEOUT') || left() < 0) throw error
    }
  }
}

// Whatever the harness asks of the server has an answer, or fails.
const patience = { query_timeout: 180_000, connectionTimeoutMillis: 30_000 }

function namedFor(url: string, name: string) {
  return { connectionString: url, application_name: name }
}

function openPool(url: string, max: number, name: string): pg.Pool {
  const pool = new pg.Pool({ ...namedFor(url, name), ...patience, max })
  pool.on('error', () => {})
  return pool
}
