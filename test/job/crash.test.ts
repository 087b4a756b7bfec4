import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { defineJob } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { until } from '../support/jobs.ts'
import type { JobWorkerReport } from '../support/programs/job-worker.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()
const leaseDuration = 2_000
const program = fileURLToPath(new URL('../support/programs/job-worker.ts', import.meta.url))

// Only to spawn: the workers have the definition that runs.
const effect = defineJob('effect', {
  input: z.object({ n: z.number(), hold: z.enum(['no', 'outside', 'inside']) }),
  output: z.string(),
  run: () => 'not here',
})

class Worker implements AsyncDisposable {
  readonly child: ChildProcess
  readonly #reports: JobWorkerReport[] = []
  readonly #ended: Promise<unknown>
  #wake = Promise.withResolvers<void>()

  private constructor(name: string) {
    this.child = fork(program, [JSON.stringify({ url: database.url, name, leaseDuration })], {
      execArgv: ['--conditions=@tidemark/source'],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    })
    this.#ended = once(this.child, 'exit')
    this.child.on('message', (report) => {
      this.#reports.push(report as JobWorkerReport)
      this.#wake.resolve()
      this.#wake = Promise.withResolvers<void>()
    })
  }

  static async start(name: string): Promise<Worker> {
    const worker = new Worker(name)
    await worker.reported('started')
    return worker
  }

  async reported(what: JobWorkerReport['what'], count = 1): Promise<JobWorkerReport> {
    for (;;) {
      const found = this.#reports.filter((report) => report.what === what)[count - 1]
      if (found !== undefined) return found
      await this.#wake.promise
    }
  }

  async kill(): Promise<void> {
    this.child.kill('SIGKILL')
    await this.#ended
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) await this.kill()
    if (this.child.connected) this.child.disconnect()
  }
}

async function effects(): Promise<string[]> {
  const { rows } = await database.query<{ who: string }>(
    `select process || ' ' || sequence as who from effects order by id`,
  )
  return rows.map(({ who }) => who)
}

for (const hold of ['outside', 'inside'] as const) {
  const where = `${hold} of its transaction`

  test(`a job whose process is killed with -9 ${where} is run by another within 15 s`, async () => {
    await using app = appOn(database, [effect])
    await using first = await Worker.start('first')
    const handle = await app.jobs.spawn(effect, { n: 1, hold })
    await first.reported('began', hold === 'inside' ? 2 : 1)
    await using second = await Worker.start('second')
    const killed = Date.now()
    await first.kill()
    await second.reported('began', hold === 'inside' ? 2 : 1)
    expect(Date.now() - killed).toBeLessThan(15_000)
    second.child.send('release')
    expect(await handle.result()).toBe('second')
    expect(await effects()).toEqual(['second 1'])
    expect((await app.jobs.attempts(handle.id)).map(({ outcome }) => outcome)).toEqual([
      'lost',
      'completed',
    ])
  })

  test(`a process that is frozen ${where} past its lease and wakes up changes nothing`, async () => {
    await using app = appOn(database, [effect])
    await using first = await Worker.start('first')
    const handle = await app.jobs.spawn(effect, { n: 1, hold })
    await first.reported('began', hold === 'inside' ? 2 : 1)
    await using second = await Worker.start('second')
    first.child.kill('SIGSTOP')
    await second.reported('began', hold === 'inside' ? 2 : 1)
    second.child.send('release')
    expect(await handle.result()).toBe('second')
    first.child.send('release')
    first.child.kill('SIGCONT')
    // Code of an attempt that was taken away is told so; code whose connection went with its transaction stays where it
    // is, also where it had begun that transaction just before. Either way the process lives, and stops when it is told to.
    const patience = new AbortController()
    const told = await Promise.race([
      first.reported('ended').then(({ error }) => error ?? 'well'),
      delay(hold === 'outside' ? 5_000 : 0, 'nothing', { signal: patience.signal }),
    ])
    patience.abort()
    expect(told).not.toBe('well')
    const exited = once(first.child, 'exit')
    first.child.kill('SIGTERM')
    await exited
    expect(first.child.exitCode).toBe(0)
    expect(await handle.result()).toBe('second')
    expect(await effects()).toEqual(['second 1'])
  })
}

test('200 jobs, five workers killed one after the other: every job completes, every effect happens once', async () => {
  await using app = appOn(database, [effect])
  await app.transaction(async ({ spawn }) => {
    for (let n = 0; n < 200; n++) await spawn(effect, { n, hold: 'no' })
  })
  for (let round = 0; round < 5; round++) {
    await using worker = await Worker.start(`worker ${round}`)
    await worker.reported('ended', 5)
    await worker.kill()
  }
  await using last = await Worker.start('last')
  await until(database, `select count(*)::int from tidemark.jobs where status = 'completed'`, 200)
  expect(last.child.exitCode).toBe(null)
  const { rows } = await database.query(
    'select count(*)::int as effects, count(distinct sequence)::int as jobs from effects',
  )
  expect(rows).toEqual([{ effects: 200, jobs: 200 }])
})
