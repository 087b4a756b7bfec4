import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { untilStatus } from '../support/jobs.ts'
import { deadly, innocent } from '../support/programs/deadly-worker.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()
const program = fileURLToPath(new URL('../support/programs/deadly-worker.ts', import.meta.url))

/** A worker that is started again whenever it dies, as a supervisor does. */
function keepAlive(): { readonly deaths: () => number; readonly stop: () => Promise<void> } {
  let deaths = 0
  let over = false
  let child: ChildProcess
  const start = (): void => {
    child = fork(program, [JSON.stringify({ url: database.url, leaseDuration: 1_000 })], {
      execArgv: ['--conditions=@tidemark/source'],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    })
    child.once('exit', () => {
      if (over) return
      deaths += 1
      start()
    })
  }
  start()
  return {
    deaths: () => deaths,
    stop: async () => {
      if (over) return
      over = true
      const gone = once(child, 'exit')
      child.kill('SIGKILL')
      await gone
    },
  }
}

test('a job that kills its process fails after the third death, alone; its neighbours complete, each at its first attempt', async () => {
  await using app = appOn(database, [deadly, innocent])
  const neighbours: string[] = []
  for (let n = 0; n < 40; n++) {
    // Claimed together with it, before and after.
    if (n === 3) neighbours.unshift((await app.jobs.spawn(deadly, {})).id)
    else neighbours.push((await app.jobs.spawn(innocent, { n })).id)
  }
  const [killer = '', ...innocents] = neighbours
  const worker = keepAlive()
  onTestFinished(worker.stop)
  await untilStatus(database, killer, 'failed')
  for (const id of innocents) await untilStatus(database, id, 'completed')
  await worker.stop()

  expect(await app.jobs.get(killer)).toMatchObject({ error: { code: 'TIDEMARK_JOB_KILLS' } })
  expect((await app.jobs.attempts(killer)).map(({ outcome }) => outcome)).toEqual([
    'lost',
    'lost',
    'lost',
    'failed',
  ])
  expect(worker.deaths()).toBe(3)
  for (const id of innocents) {
    const attempts = await app.jobs.attempts(id)
    expect(attempts.at(-1)).toMatchObject({ outcome: 'completed', attempt: 1 })
    // None of them was in the process at the third death.
    expect(attempts.filter(({ outcome }) => outcome === 'lost').length).toBeLessThanOrEqual(2)
  }
}, 90_000)

test('an operator who retries a job that killed gives it all its deaths back', async () => {
  await using app = appOn(database, [deadly])
  const { id } = await app.jobs.spawn(deadly, {}, { delay: '1h' })
  await database.query(
    `update tidemark.jobs set status = 'failed', deaths = 3, finished_at = now() where id = $1`,
    [id],
  )
  await app.jobs.retry(id)
  const { rows } = await database.query(
    'select deaths, attempt, status from tidemark.jobs where id = $1',
    [id],
  )
  expect(rows[0]).toEqual({ deaths: 0, attempt: 0, status: 'queued' })
})
