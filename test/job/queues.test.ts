import { defineJob, defineQueue } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { Latch, until } from '../support/jobs.ts'
import { appOn } from '../support/test-app.ts'

// Whatever queue a job is in: a process that knows its type takes it.

const database = useFreshDatabase()
const input = z.number()
const double = defineJob('double', { input, queue: 'sums', run: (job) => job.input * 2 })
const open = `select count(*)::integer from tidemark.jobs where status <> 'completed'`

test('a job is run in another queue than that of its type, whoever has put it there', async () => {
  const posted = defineJob('posted', { input, transact: (job) => job.input })
  const rated = defineJob('rated', {
    input,
    limit: { concurrency: 1, rate: { limit: 100, per: '1s', key: String } },
    run: (job) => job.input,
  })
  await using app = appOn(database, [double, posted, rated])
  await app.start()
  const handle = await app.jobs.spawn(double, 4, { queue: 'elsewhere' })
  // As SQL does that names no queue; and in the queue of another type of the process.
  await database.query(
    `select tidemark.spawn('double', '1'), tidemark.spawn('posted', '1', queue => 'sums')`,
  )
  for (const queue of ['sums', 'default', 'far']) {
    await app.jobs.spawn(posted, 1, { queue })
    await app.jobs.spawn(rated, 1, { queue })
    await app.jobs.spawn(rated, 2, { queue, delay: '100ms' })
  }
  expect(await handle.result()).toBe(8)
  await app.jobs.spawn(posted, 1, { queue: 'later', delay: '1s' })
  expect(await app.jobs.groups('queue')).toContainEqual(
    expect.objectContaining({ name: 'later', processes: 1, scheduled: 1 }),
  )
  await until(database, open, 0)
})

test('a type that has moved to another queue takes what was put into the one before', async () => {
  const moved = defineJob('double', { input, queue: 'new', run: (job) => job.input * 2 })
  await using before = appOn(database, [double])
  const handle = await before.jobs.spawn(double, 3)
  await using after = appOn(database, [moved])
  await after.start()
  expect(await handle.result()).toBe(6)
})

test('a queue among the modules limits what is put into it, though no type names it', async () => {
  const narrow = defineQueue('narrow', { concurrency: 1 })
  const met = new Latch()
  const waiting = defineJob('waiting', { input, run: () => met.pass() })
  await using app = appOn(database, [waiting, narrow])
  await app.start()
  const first = await app.jobs.spawn(waiting, 1, { queue: 'narrow' })
  const second = await app.jobs.spawn(waiting, 2, { queue: 'narrow' })
  await met.reached
  // Looked at by a claim that found room for itself.
  await app.jobs.spawn(waiting, 3)
  await until(database, `select count(*)::integer from tidemark.jobs where status = 'running'`, 2)
  expect((await app.jobs.get(second.id)).status).toBe('queued')
  met.open()
  await Promise.all([first.result(), second.result()])
})

test('jobs of unknown types keep nobody from finding those of known ones in their queue', async () => {
  await database.query(
    `insert into tidemark.jobs (id, name, input, queue, priority)
     select gen_random_uuid(), 'foreign', '1', 'crowd', -1 from generate_series(1, 300)`,
  )
  await using app = appOn(database, [double])
  await app.start()
  expect(await (await app.jobs.spawn(double, 5, { queue: 'crowd' })).result()).toBe(10)
})
