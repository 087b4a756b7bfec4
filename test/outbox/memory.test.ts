import { fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { expect, test, vi } from 'vitest'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'
import { blob } from './blob.ts'
import type { ReaderReport, ReaderRequest } from './reader.ts'

// It moves half a gigabyte through a busy machine.
vi.setConfig({ testTimeout: 180_000 })

const database = useFreshDatabase()

/** Reads the outbox in a process whose heap ends at so many MiB: more than that kills it. */
async function readWithin(
  heap: number,
  request: Omit<ReaderRequest, 'url'>,
): Promise<ReaderReport> {
  const child = fork(fileURLToPath(new URL('reader.ts', import.meta.url)), {
    execArgv: ['--conditions=@tidemark/source', `--max-old-space-size=${heap}`],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  })
  let errors = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    errors += chunk.toString()
  })
  let report: ReaderReport | undefined
  child.once('message', (message) => {
    report = message as ReaderReport
  })
  child.send({ url: database.url, ...request } satisfies ReaderRequest)
  try {
    await once(child, 'exit')
  } finally {
    child.kill('SIGKILL')
  }
  if (report === undefined) throw new Error(`the reader ended without a report: ${errors}`)
  return report
}

const megabyte = 1024 * 1024

// What Postgres cannot compress, and what it can: half of it.
const texts = {
  'that do not compress': () => randomBytes(megabyte / 2).toString('hex'),
  'that compress': () =>
    `${randomBytes(16).toString('hex')} the same again; `.repeat(megabyte / 48),
}

for (const [kind, text] of Object.entries(texts)) {
  test(`200 events of 1 MB ${kind} pass three listeners in a heap of 256 MB`, async () => {
    await using app = appOn(database, [blob])
    for (let n = 0; n < 200; n += 10) {
      await app.publish(Array.from({ length: 10 }, (_, i) => blob({ n: n + i, text: text() })))
    }
    const report = await readWithin(256, { listeners: 3, events: 200 })
    console.log(`events of 1 MB ${kind}: at most ${report.peak} MiB of memory`)
    expect(report.inOrder).toBe(true)
  })
}

test('a transaction of 100,000 events passes three listeners in a heap of 128 MB', async () => {
  await using app = appOn(database, [blob])
  await app.transaction(async (tx) => {
    tx.publish(Array.from({ length: 100_000 }, (_, n) => blob({ n, text: `event ${n}` })))
  })
  const report = await readWithin(128, { listeners: 3, events: 100_000 })
  console.log(`a transaction of 100,000 events: at most ${report.peak} MiB of memory`)
  expect(report.inOrder).toBe(true)
})

test('a stream of 150 events of 1 MB, and the outbox, are iterated in a heap of 96 MB', async () => {
  await using app = appOn(database, [blob])
  const text = randomBytes(megabyte / 2).toString('hex')
  for (let n = 0; n < 150; n += 10) {
    const drafts = Array.from({ length: 10 }, (_, i) => blob({ n: n + i, text }))
    await app.publish(drafts, { stream: 'large' })
  }
  for (const iterate of ['outbox', { stream: 'large' }] as const) {
    const report = await readWithin(96, { listeners: 0, events: 150, iterate })
    console.log(`150 events of 1 MB, iterated: at most ${report.peak} MiB of memory`)
    expect(report.inOrder).toBe(true)
  }
})
