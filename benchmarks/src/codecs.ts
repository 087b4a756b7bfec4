import { randomBytes, randomUUID } from 'node:crypto'
import { jsonCodec, type StateCodec } from '@tidemark/stores'
import { keyRing, messagePack, pipeline } from '@tidemark/stores/codecs'
import { spread } from './measure.ts'
import { fraction, whole, type Report } from './report.ts'
import type { Bench } from './server.ts'

const place = { key: 'jobs/import', version: 1 }
// Enough that the clock of processor time shows a difference.
const perTurn = 50

/** What values take, and what writing and reading them costs, each codec beside plain JSON in the same run. */
export async function codecs({ options, progress }: Bench): Promise<Report> {
  const keys = keyRing({ keys: { k: randomBytes(32) }, current: 'k' })
  const serializer = messagePack()
  const candidates: Readonly<Record<string, StateCodec>> = {
    json: jsonCodec,
    'json, zstd': pipeline(),
    'json, gzip': pipeline({ compression: 'gzip' }),
    msgpack: pipeline({ serializer, compression: 'none' }),
    'msgpack, zstd': pipeline({ serializer }),
    'msgpack, zstd, encrypted': pipeline({ serializer, keys }),
    'json, encrypted': pipeline({ compression: 'none', keys }),
  }
  const rows: string[][] = []
  const results: Record<string, unknown>[] = []
  for (const [state, value] of Object.entries(states())) {
    progress(state)
    const times = new Map<string, number[]>()
    const bodies = new Map<string, number>()
    // In turns, so that whatever else the machine does falls upon all of them.
    for (let run = 0; run <= options.runs; run++) {
      for (const [name, codec] of Object.entries(candidates)) {
        const { time, bytes } = await measured(codec, value)
        bodies.set(name, bytes)
        // The first turn warms up.
        if (run > 0) times.set(name, [...(times.get(name) ?? []), time])
      }
    }
    const json = spread(times.get('json') ?? []).median
    const plain = bodies.get('json') ?? 1
    for (const name of Object.keys(candidates)) {
      const time = spread(times.get(name) ?? []).median
      const bytes = bodies.get(name) ?? 0
      results.push({ state, codec: name, bytes, microseconds: time })
      rows.push([
        state,
        name,
        whole(bytes),
        fraction(bytes / plain),
        whole(time),
        fraction(time / json),
      ])
    }
  }
  const columns = ['state', 'codec', 'bytes', 'of json', 'us', 'of json']
  const title = 'bytes as stored, base64 included, and processor time to write and read one value'
  return { name: 'codecs', results, tables: [{ title, columns, rows }] }
}

async function measured(
  codec: StateCodec,
  value: unknown,
): Promise<{ time: number; bytes: number }> {
  let body = ''
  const started = process.cpuUsage()
  for (let turn = 0; turn < perTurn; turn++) {
    body = await codec.encode(value, place)
    await codec.decode(body, place)
  }
  const { user, system } = process.cpuUsage(started)
  return { time: (user + system) / perTurn, bytes: Buffer.byteLength(body) }
}

/** States of jobs as applications have them: what the examples of this repository store, in their sizes. */
function states(): Readonly<Record<string, unknown>> {
  const at = new Date('2026-11-02T10:00:00.123Z')
  const row = (index: number) => ({
    flight: 1000 + index,
    departed: new Date(at.getTime() + index * 60_000),
    origin: ['SFO', 'JFK', 'ORD'][index % 3],
    destination: ['LAX', 'BOS', 'DEN', 'SEA'][index % 4],
    delay: ((index * 37) % 90) - 20,
    distance: 300 + ((index * 71) % 2400),
  })
  return {
    checkpoint: { cursor: 81_723_123n, rows: 500, file: 'flights-2001.parquet', at },
    webhook: {
      id: randomUUID(),
      headers: {
        'content-type': 'application/json',
        'user-agent': 'Stripe/1.0',
        host: 'example.com',
      },
      query: { retry: '1' },
      body: { type: 'invoice.paid', customer: 'cus_9s6XKzkNRiz8i3', lines: [1, 2, 3].map(row) },
    },
    steps: Array.from({ length: 40 }, (_, index) => ({
      id: `fetch page ${index}`,
      status: 'completed',
      startedAt: new Date(at.getTime() + index * 1_234),
      completedAt: new Date(at.getTime() + index * 1_234 + 321),
      output: { page: index, next: `https://api.example.com/rates?page=${index + 1}`, rows: 100 },
    })),
    'batch of rows': { columns: 6, rows: Array.from({ length: 500 }, (_, index) => row(index)) },
    balances: {
      accounts: new Map(
        Array.from({ length: 200 }, (_, index) => [`acct-${index}`, BigInt(index) * 1_000_003n]),
      ),
      touched: new Set(Array.from({ length: 50 }, (_, index) => `acct-${index * 3}`)),
      checksum: new Uint8Array(randomBytes(32)),
    },
  }
}
