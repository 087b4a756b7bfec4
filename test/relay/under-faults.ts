import { setTimeout as delay } from 'node:timers/promises'
import { jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import type { TestDatabase } from '@tidemark/testing'
import { expect } from 'vitest'
import { Random } from '../harness/random.ts'
import { appOn } from '../support/test-app.ts'
import { keyed } from './keyed-event.ts'
import type { ServiceOptions } from './programs/service.ts'
import { ServiceProcess } from './service-process.ts'

/** How something is broken, and mended again. */
export type Fault = (random: Random) => Promise<void>

/** What is broken while events flow. */
export interface UnderFaults {
  readonly from: TestDatabase
  readonly to: TestDatabase
  readonly seconds: number
  /** What the services are told, beside their databases and roles. */
  readonly service: Omit<ServiceOptions, 'url' | 'role'>
  /** Faults of the broker and of the databases, by name; each of them is as likely as one of the services'. */
  readonly faults: Readonly<Record<string, Fault>>
  /** The sequences of the outbox that the stream holds, in its order. Defaults to asking JetStream. */
  readonly held?: () => Promise<number[]>
  /** Events published at once by one statement, at most. Defaults to 40. */
  readonly most?: number
  /** The longest time between two faults, in milliseconds. Defaults to 600. */
  readonly pace?: number
}

/** What became of it. */
export interface Survived {
  readonly seed: number
  readonly events: number
  readonly faults: Readonly<Record<string, number>>
}

const keys = 20
/** How many statements' events may be on their way: what is published must meet the faults, not only what they left. */
const ahead = 50

/**
 * Publishes in one database, relays to a stream and takes in in another while everything is broken; then compares the
 * stream and the effects with what was published: each once, and in order for each key.
 */
export async function runUnderFaults(run: UnderFaults): Promise<Survived> {
  const { from, to, service, seconds } = run
  const seed = Number(process.env['TIDEMARK_SEED'] ?? Date.now() % 1_000_000)
  const random = new Random(seed)
  const relay = { ...service, url: from.url, role: 'relay' } as const
  const intake = { ...service, url: to.url, role: 'intake' } as const
  await using processes = new AsyncDisposableStack()
  const services = [relay, relay, intake, intake].map((options) =>
    processes.use(new ServiceProcess(options)),
  )
  await Promise.all(services.map((each) => each.start()))
  const until = Date.now() + seconds * 1_000
  const broken = new AbortController()
  const publishing = publishUntil(run, broken.signal, new Random(seed + 1))
  const counts = await breakUntil(run, services, until, random).finally(() => broken.abort())
  const published = await publishing
  await Promise.all(services.filter(({ lives }) => !lives).map((each) => each.start()))
  const total = sum(published)
  await expect
    .poll(() => effects(to), { timeout: 60_000 + seconds * 4_000, interval: 500 })
    .toBeGreaterThanOrEqual(total)
  // In the stream itself, too: an intake would pass over what comes twice.
  const { held = () => heldBy(service.servers, service.stream) } = run
  const sequences = await held()
  const disorder = sequences.findIndex((sequence, at) => sequence <= (sequences[at - 1] ?? 0))
  expect(disorder, `the first that is out of order or there again, seed ${seed}`).toBe(-1)
  expect(sequences).toHaveLength(total)
  await compareKeys(to, published, seed)
  return { seed, events: total, faults: counts }
}

/** @returns how many events of each key were published. */
async function publishUntil(
  { from, to, most = 40 }: UnderFaults,
  end: AbortSignal,
  random: Random,
): Promise<number[]> {
  await using app = appOn(from, [keyed])
  const numbers = Array.from({ length: keys }, () => 0)
  for (let statements = 1; !end.aborted; statements++) {
    if (statements % ahead === 0) await caughtUp(to, sum(numbers) - ahead * most, end)
    const next = [...numbers]
    const drafts = Array.from({ length: random.whole(1, most) }, () => {
      const key = random.whole(0, keys - 1)
      const number = (next[key] ?? 0) + 1
      next[key] = number
      return keyed({ key: `k${key}`, number })
    })
    try {
      await app.transaction(async (tx) => {
        for (const draft of drafts) tx.publish(draft, { key: draft.payload.key })
      })
    } catch {
      // A database that is restarted: whether it has committed is looked up, so that no number is used twice.
      if (!(await committed(from, next))) continue
    }
    for (const [key, number] of next.entries()) numbers[key] = number
  }
  return numbers
}

/** Waits until so many events took effect. */
async function caughtUp(database: TestDatabase, count: number, end: AbortSignal): Promise<void> {
  while (!end.aborted && (await effects(database).catch(() => 0)) < count) await delay(100)
}

async function committed(database: TestDatabase, numbers: readonly number[]): Promise<boolean> {
  for (;;) {
    try {
      const { rows } = await database.query<{ count: number }>(
        `select count(*)::integer as count from tidemark.events where type = 'test.keyed'`,
      )
      return rows[0]?.count === sum(numbers)
    } catch {
      await delay(100)
    }
  }
}

async function breakUntil(
  { faults, service: { leaseDuration }, pace = 600 }: UnderFaults,
  services: readonly ServiceProcess[],
  until: number,
  random: Random,
): Promise<Record<string, number>> {
  const ofServices: Record<string, Fault> = {
    'service killed': async () => {
      const service = random.one(services)
      await service.kill()
      void service.start()
    },
    'service frozen': async () => {
      const service = random.one(services)
      // Longer than its lease: another takes over, and then it wakes up in the middle of what it did.
      service.signal('SIGSTOP')
      setTimeout(() => service.signal('SIGCONT'), leaseDuration * (1.5 + random.next()))
    },
  }
  const all = Object.entries({ ...ofServices, ...faults })
  const counts = Object.fromEntries(all.map(([name]) => [name, 0]))
  // Each once, and then by chance.
  for (let round = 0; round < all.length || Date.now() < until; round++) {
    await delay(random.whole(Math.round(pace / 6), pace))
    const [name, fault] = all[round] ?? random.one(all)
    await fault(random)
    counts[name] = (counts[name] ?? 0) + 1
  }
  return counts
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}

async function effects(database: TestDatabase): Promise<number> {
  const { rows } = await database.query<{ count: number }>(
    'select count(*)::integer as count from effects',
  )
  return rows[0]?.count ?? 0
}

async function compareKeys(
  database: TestDatabase,
  published: readonly number[],
  seed: number,
): Promise<void> {
  const { rows } = await database.query<{ key: string; numbers: number[] }>(`
    select e.payload ->> 'key' as key, array_agg((e.payload ->> 'number')::integer order by f.id) as numbers
    from effects f join tidemark.events e on e.sequence = f.sequence
    group by 1`)
  const seen = new Map(rows.map(({ key, numbers }) => [key, numbers]))
  for (const [key, number] of published.entries()) {
    const numbers = seen.get(`k${key}`) ?? []
    const wrong = numbers.findIndex((seenNumber, at) => seenNumber !== at + 1)
    expect([numbers.length, wrong], `key k${key}, seed ${seed}`).toEqual([number, -1])
  }
}

/** The sequences of the outbox that a stream holds, in its order. */
async function heldBy(servers: string | string[], stream: string): Promise<number[]> {
  const connection = await connect({ servers })
  try {
    const { state } = await (await jetstreamManager(connection)).streams.info(stream)
    const sequences: number[] = []
    if (state.messages === 0) return sequences
    const consumer = await jetstream(connection).consumers.get(stream)
    for await (const message of await consumer.consume({ max_messages: 5_000 })) {
      sequences.push(Number(message.headers?.get('ce-sequence')))
      if (message.seq === state.last_seq) break
    }
    return sequences
  } finally {
    await connection.close()
  }
}
