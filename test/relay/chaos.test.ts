import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import { createTestDatabase } from '@tidemark/testing'
import { describe, expect, test } from 'vitest'
import { effectsTemplate, useFreshDatabase } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'
import { keyed } from './keyed-event.ts'
import { natsMissing, NatsServer } from './nats-server.ts'
import type { ServiceOptions } from './programs/service.ts'

const missing = natsMissing()
if (missing !== null) console.log(`relays under faults are not tested: ${missing}`)

/** How long faults are made; the figures in docs/relays.md are of longer runs. */
const seconds = Number(process.env['TIDEMARK_RELAY_CHAOS_SECONDS'] ?? 10)
const leaseDuration = 1_000
const keys = 20

/** A pseudo-random source that a seed repeats (mulberry32). */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** The sequences of the outbox that a stream holds, in its order. */
async function heldBy(server: NatsServer, stream: string): Promise<number[]> {
  const connection = await connect({ servers: server.servers })
  try {
    const { state } = await (await jetstreamManager(connection)).streams.info(stream)
    const consumer = await jetstream(connection).consumers.get(stream)
    const messages = await consumer.consume({ max_messages: 5_000 })
    const sequences: number[] = []
    for await (const message of messages) {
      sequences.push(Number(message.headers?.get('ce-sequence')))
      if (message.seq === state.last_seq) break
    }
    return sequences
  } finally {
    await connection.close()
  }
}

class Service implements AsyncDisposable {
  readonly #options: ServiceOptions
  #child: ChildProcess | undefined

  constructor(options: ServiceOptions) {
    this.#options = options
  }

  async start(): Promise<void> {
    const child = fork(
      fileURLToPath(new URL('programs/service.ts', import.meta.url)),
      [JSON.stringify(this.#options)],
      {
        execArgv: ['--conditions=@tidemark/source'],
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      },
    )
    this.#child = child
    await Promise.race([once(child, 'message'), once(child, 'exit')])
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal)
  }

  get lives(): boolean {
    return this.#child?.exitCode === null && this.#child.signalCode === null
  }

  async kill(): Promise<void> {
    const child = this.#child
    if (child === undefined || !this.lives) return
    const exited = once(child, 'exit')
    child.kill('SIGKILL')
    await exited
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
  }
}

describe.skipIf(missing !== null)('relay and intake', () => {
  const database = useFreshDatabase()

  test(
    'every event takes effect in the other service once and in order, whatever dies between',
    async () => {
      const seed = Number(process.env['TIDEMARK_SEED'] ?? Date.now() % 1_000_000)
      const draw = random(seed)
      console.log(`relay chaos: seed ${seed}, ${seconds} s`)
      await using server = await NatsServer.start()
      await using other = await createTestDatabase({ template: effectsTemplate })
      const common = { servers: server.servers, stream: 'CHAOS', leaseDuration }
      const relay = { ...common, url: database.url, role: 'relay' } as const
      const intake = { ...common, url: other.url, role: 'intake' } as const
      await using one = new Service(relay)
      await using two = new Service(relay)
      await using three = new Service(intake)
      await using four = new Service(intake)
      const services = [one, two, three, four]
      await Promise.all(services.map((service) => service.start()))
      await using app = appOn(database, [keyed])

      const until = Date.now() + seconds * 1_000
      const numbers = Array.from({ length: keys }, () => 0)
      const publishing = (async () => {
        while (Date.now() < until) {
          const drafts = Array.from({ length: 1 + Math.floor(draw() * 40) }, () => {
            const key = Math.floor(draw() * keys)
            numbers[key] = (numbers[key] ?? 0) + 1
            return keyed({ key: `k${key}`, number: numbers[key] ?? 0 })
          })
          for (const draft of drafts) await app.publish(draft, { key: draft.payload.key })
        }
      })()
      const faults: Record<string, number> = { kill: 0, freeze: 0, broker: 0 }
      while (Date.now() < until) {
        await delay(100 + draw() * 500)
        const service = services[Math.floor(draw() * services.length)] as Service
        const dice = draw()
        if (dice < 0.45) {
          await service.kill()
          void service.start()
          faults['kill']!++
        } else if (dice < 0.75) {
          // Longer than its lease: another takes over, and then it wakes up in the middle of what it did.
          service.signal('SIGSTOP')
          setTimeout(() => service.signal('SIGCONT'), leaseDuration * (1.5 + draw()))
          faults['freeze']!++
        } else {
          await server.kill()
          await server.startAgain()
          faults['broker']!++
        }
      }
      await publishing
      await Promise.all(services.filter(({ lives }) => !lives).map((service) => service.start()))
      const total = numbers.reduce((sum, number) => sum + number, 0)

      await expect
        .poll(
          async () => {
            const { rows } = await other.query<{ count: number }>(
              'select count(*)::integer as count from effects',
            )
            return rows[0]?.count
          },
          { timeout: 120_000, interval: 500 },
        )
        .toBeGreaterThanOrEqual(total)
      // In the stream itself, too: an intake would pass over what comes twice.
      const sequences = await heldBy(server, 'CHAOS')
      expect(sequences, `seed ${seed}`).toEqual([...new Set(sequences)].toSorted((x, y) => x - y))
      expect(sequences).toHaveLength(total)
      const { rows } = await other.query<{ key: string; numbers: number[] }>(`
        select e.payload ->> 'key' as key, array_agg((e.payload ->> 'number')::integer order by f.id) as numbers
        from effects f join tidemark.events e on e.sequence = f.sequence
        group by 1`)
      console.log(`relay chaos: ${total} events, ${JSON.stringify(faults)}`)
      const expected = numbers.map((number) => Array.from({ length: number }, (_, i) => i + 1))
      const seen = new Map(rows.map(({ key, numbers: list }) => [key, list]))
      for (const [key, list] of expected.entries()) {
        expect(seen.get(`k${key}`) ?? [], `key k${key}, seed ${seed}`).toEqual(list)
      }
    },
    seconds * 1_000 + 180_000,
  )
})
