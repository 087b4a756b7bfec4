import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { EventSequence } from 'tidemark'
import { expect, test, vi } from 'vitest'
import { noted, notesOf, recorder } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import type { KillerOptions } from '../support/programs/killer.ts'
import { appOn } from '../support/test-app.ts'
import { WorkerProcess } from '../support/worker-process.ts'

// Each test starts a dozen processes, one after the other.
vi.setConfig({ testTimeout: 180_000 })

const database = useFreshDatabase()
const program = fileURLToPath(new URL('../support/programs/killer.ts', import.meta.url))

/** Starts one process after another, as a supervisor does, until `done`. Answers how many died by themselves. */
async function supervise(
  options: Omit<KillerOptions, 'url'>,
  done: () => Promise<boolean>,
): Promise<number> {
  const finished = vi.waitFor(async () => expect(await done()).toBe(true), {
    timeout: 170_000,
    interval: 50,
  })
  for (let deaths = 0; deaths < 10; deaths++) {
    const child = fork(program, [JSON.stringify({ ...options, url: database.url })], {
      execArgv: ['--conditions=@tidemark/source'],
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    })
    const ended = once(child, 'exit')
    try {
      const died = await Promise.race([ended.then(() => true), finished.then(() => false)])
      if (!died) return deaths
    } finally {
      child.kill('SIGKILL')
      await ended
    }
  }
  throw new Error('ten processes died')
}

async function stateOf(): Promise<unknown> {
  const { rows } = await database.query('select state from tidemark.cursors')
  return rows[0]?.['state']
}

test.for([
  { how: 'exit', policy: 'park', kind: 'listener' },
  { how: 'abort', policy: 'halt', kind: 'listener' },
  { how: 'exit', policy: 'skip', kind: 'projection' },
] as const)(
  'an event that ends the process of a $kind ($how) three times is dealt with by policy: $policy',
  async ({ how, policy, kind }) => {
    await database.query('create table mended (yes boolean)')
    await using app = appOn(database, [noted])
    const notes = ['one', 'two', 'kill', 'three', 'four']
    const published = await app.publish(notes.map((note) => noted({ note })))
    const killer = published[2]?.sequence
    const last = published[4]?.sequence ?? 0n

    const deaths = await supervise({ how, policy, kind }, async () => {
      const listener = (await app.listeners.list())[0]
      return listener?.status === 'halted' || (listener?.cursor ?? 0n) >= last
    })
    // Twice with its batch, and then three times as the one that was marked.
    expect(deaths).toBe(5)
    const halted = policy === 'halt'
    expect(await app.listeners.get('ledger')).toMatchObject({
      status: halted ? 'halted' : 'active',
      partitions: [
        halted
          ? { cursor: published[1]?.sequence, lastError: { code: 'TIDEMARK_EVENT_KILLS' } }
          : { cursor: last, lastError: null },
      ],
    })
    const state = policy === 'park' ? 'parked' : 'skipped'
    expect(await app.deadLetters.list()).toMatchObject(
      halted ? [] : [{ sequence: killer, state, error: { code: 'TIDEMARK_EVENT_KILLS' } }],
    )
    expect(kind === 'listener' ? await notesOf(database, 'ledger') : await stateOf()).toEqual(
      halted ? ['one', 'two'] : ['one', 'two', 'three', 'four'],
    )
  },
)

test('a process that was killed once leaves whole batches to the next owner', async () => {
  await using app = appOn(database, [recorder('ledger', { batchSize: 20 })])
  const notes = ['wait', ...Array.from({ length: 19 }, (_, n) => `note ${n}`)]
  const published = await app.publish(notes.map((note) => noted({ note })))
  {
    await using worker = await WorkerProcess.start({
      url: database.url,
      name: 'killed',
      leaseDuration: 500,
      batchSize: 20,
    })
    await worker.reported('entered', 'wait')
    await worker.kill('SIGKILL')
  }
  await using runner = await app.start()
  await app.waitFor('ledger', published.at(-1)?.sequence as EventSequence, { timeout: '60s' })
  await runner.stop()
  const { rows } = await database.query<{ transactions: number }>(
    'select count(distinct xmin::text)::int as transactions from effects',
  )
  expect(rows).toEqual([{ transactions: 1 }])
  expect(await notesOf(database, 'ledger')).toEqual(notes)
})

test('a dead letter whose retry ends the process again and again is parked again; retried when it is mended, it is handled', async () => {
  await database.query('create table mended (yes boolean)')
  await using app = appOn(database, [noted])
  const options = { how: 'exit', policy: 'park', kind: 'listener' } as const
  const published = await app.publish(['kill', 'two'].map((note) => noted({ note })))
  const parked = async (): Promise<boolean> => {
    const [letter] = await app.deadLetters.list()
    return letter?.state === 'parked'
  }
  await supervise(options, async () => {
    const listener = (await app.listeners.list())[0]
    return (listener?.cursor ?? 0n) >= (published[1]?.sequence ?? 0n)
  })
  expect(await parked()).toBe(true)

  await app.deadLetters.retry({ listener: 'ledger' })
  expect(await supervise(options, parked)).toBe(4)
  expect(await app.deadLetters.list()).toMatchObject([{ error: { code: 'TIDEMARK_EVENT_KILLS' } }])

  await database.query('insert into mended values (true)')
  await app.deadLetters.retry({ listener: 'ledger' })
  const { sequence } = await app.publish(noted({ note: 'three' }))
  await supervise(options, async () => {
    const [listener] = await app.listeners.list()
    return (listener?.cursor ?? 0n) >= sequence && (await app.deadLetters.list()).length === 0
  })
  expect(await notesOf(database, 'ledger')).toEqual(['two', 'kill', 'three'])
})
