import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { s3 } from '@tidemark/stores/context'
import { defineJob } from 'tidemark'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import {
  tenSteps,
  watchedClient,
  type ContextWorkerOptions,
} from '../support/programs/context-worker.ts'
import { appOn } from '../support/test-app.ts'
import type { CephGateway } from './ceph.ts'

const program = fileURLToPath(new URL('../support/programs/context-worker.ts', import.meta.url))
// All thirty with TIDEMARK_RUNS; each takes a process, and a lease that runs out.
const all = Array.from({ length: 10 }, (_, index) =>
  ['before', 'committed', 'put'].map((when) => `${index + 1} ${when}`),
).flat()
const some = process.env['TIDEMARK_RUNS'] === undefined ? ['4 committed', '10 put'] : all
const outages = process.env['TIDEMARK_RUNS'] === undefined ? [3, 10] : all.map((_, index) => index)

/** Contexts of jobs in the gateway of a file's tests. */
export function testContexts(gatewayOf: () => CephGateway): void {
  const database = useFreshDatabase()
  const started: ChildProcess[] = []
  let bucket = ''

  beforeAll(async () => {
    bucket = `${gatewayOf().url}/contexts`
    const made = await gatewayOf().client().fetch(bucket, { method: 'PUT' })
    if (!made.ok) throw new Error(`the bucket was not made: ${made.status}`)
  })
  afterAll(() => {
    for (const child of started) child.kill('SIGKILL')
  })

  async function read(name: string): Promise<string | undefined> {
    const answer = await gatewayOf().client().fetch(`${bucket}/${name}`)
    const text = await answer.text()
    return answer.ok ? text : undefined
  }

  /** Waits until the document says that its job has completed. */
  async function completed(id: string): Promise<string> {
    const name = `jobs/${id}/executions/${id}/context.json`
    await vi.waitFor(
      async () => expect(await read(name)).toContain('"status": "completed",\n  "t'),
      {
        timeout: 60_000,
      },
    )
    return (await read(name)) as string
  }

  async function effects(): Promise<number[]> {
    const { rows } = await database.query<{ n: number }>(
      'select sequence::int as n from effects order by id',
    )
    return rows.map(({ n }) => n)
  }

  /** What the document must be, written down by what SQL says, apart from its version. */
  async function expected(id: string): Promise<string> {
    const iso = (column: string) =>
      `to_char(date_trunc('milliseconds', ${column}) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`
    const { rows: jobs } = await database.query<Record<string, string>>(
      `select ${iso('created_at')} as created, ${iso('started_at')} as started, ${iso('finished_at')} as finished
       from tidemark.jobs where id = $1`,
      [id],
    )
    const { rows: steps } = await database.query<Record<string, string>>(
      `select step, ${iso('started_at')} as started, ${iso('completed_at')} as completed
       from tidemark.job_steps where job = $1 order by position`,
      [id],
    )
    const [job = {}] = jobs
    const lines = steps.map(
      ({ step, started: begun, completed: end }, index) => `    "${step}": {
      "kind": "step",
      "status": "completed",
      "startedAt": "${begun}",
      "completedAt": "${end}",
      "output": {
        "n": ${index + 1}
      },
      "error": null
    }`,
    )
    return `{
  "format": 1,
  "jobId": "${id}",
  "executionId": "${id}",
  "name": "ten_steps",
  "version": ?,
  "status": "completed",
  "triggeredBy": "system",
  "parent": null,
  "createdAt": "${job['created']}",
  "startedAt": "${job['started']}",
  "completedAt": "${job['finished']}",
  "input": {},
  "output": 55,
  "error": null,
  "variables": {},
  "steps": {
${lines.join(',\n')}
  },
  "webhook": null,
  "files": []
}
`
  }

  const unnumbered = (text: string): string => text.replace(/"version": \d+/u, '"version": ?')
  const ten = Array.from({ length: 10 }, (_, index) => index + 1)

  test('a job that is killed at boundaries loses and repeats nothing, and its context is current at the end', async () => {
    const spawning = tenSteps()
    await using app = appOn(database, [spawning])
    const { id } = await app.jobs.spawn(spawning, {})
    const work = (dieAt: string | null): ChildProcess => {
      const { url, schema } = database
      const options: ContextWorkerOptions = { url, schema, bucket, dieAt }
      const child = fork(program, [JSON.stringify(options)], {
        execArgv: ['--conditions=@tidemark/source'],
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      })
      started.push(child)
      return child
    }
    const ends: unknown[] = []
    for (const dieAt of some) {
      const child = work(dieAt)
      await once(child, 'exit')
      ends.push(child.signalCode)
    }
    expect(ends).toEqual(some.map(() => 'SIGKILL'))
    const last = work(null)
    const text = await completed(id)
    expect(await effects()).toEqual(ten)
    expect(unnumbered(text)).toBe(await expected(id))
    const exited = once(last, 'exit')
    last.kill('SIGKILL')
    await exited
  }, 300_000)

  test('a gateway that is killed at boundaries costs no step, and has everything when it is back', async () => {
    let killed = 0
    // Away from before the effect of one step until before that of the next one: also for its upload.
    const at = async (boundary: string): Promise<void> => {
      const [n = '', when = ''] = boundary.split(' ')
      if (when !== 'before') return
      if (outages.includes(Number(n) - 1)) await gatewayOf().startAgain()
      if (outages.includes(Number(n))) {
        await gatewayOf().kill()
        killed += 1
      }
    }
    const job = tenSteps(at)
    const store = s3({ client: watchedClient(gatewayOf().client(), () => {}), bucket })
    await using app = appOn(database, [job], { contextStore: store })
    await using _ = await app.start({ leaseDuration: 2_000, maintenanceInterval: 200 })
    const handle = await app.jobs.spawn(job, {})
    expect(await handle.result({ timeout: '2m' })).toBe(55)
    if (outages.includes(10)) await gatewayOf().startAgain()
    const text = await completed(handle.id)
    expect(killed).toBe(outages.filter((n) => n > 0 && n <= 10).length)
    expect(await effects()).toEqual(ten)
    expect(unnumbered(text)).toBe(await expected(handle.id))
    expect(await app.jobs.document(handle.id).load()).toEqual(JSON.parse(text))
  }, 300_000)

  test('large files go up in parts, come back as they were, and leave nothing when their job is deleted', async () => {
    const megabyte = new Uint8Array(1024 * 1024).map((_, index) => index % 251)
    const job = defineJob('parts', {
      input: z.object({}),
      output: z.unknown(),
      run: async (_, ctx) => {
        const file = await ctx.files.write(
          'some folder/ü+&?.bin',
          (async function* () {
            for (let part = 0; part < 17; part++) yield megabyte
          })(),
        )
        let bytes = 0
        for await (const chunk of await ctx.files.read(file.path)) bytes += chunk.byteLength
        await expect(
          ctx.files.write(
            'broken.csv',
            (async function* () {
              for (let part = 0; part < 9; part++) yield megabyte
              throw new RangeError('no more')
            })(),
          ),
        ).rejects.toThrow('no more')
        await ctx.files.write('empty.txt', '')
        await ctx.step('large', () => 'x'.repeat(2_000))
        return { bytes, size: file.size, large: await ctx.document.getStepOutput('large') }
      },
    })
    const store = s3({ client: gatewayOf().client(), bucket, prefix: 'apart/' })
    const outputs = { store: store.outputs, limit: 1_000 }
    await using app = appOn(database, [job], { contextStore: store, outputs })
    await using _ = await app.start({ leaseDuration: 2_000, maintenanceInterval: 200 })
    const handle = await app.jobs.spawn(job, {})
    expect(await handle.result({ timeout: '1m' })).toEqual({
      bytes: 17 * 1024 * 1024,
      size: 17 * 1024 * 1024,
      large: 'x'.repeat(2_000),
    })
    const { steps, files } = await app.jobs.document(handle.id).load()
    expect(files.map(({ path, size }) => [path, size])).toEqual([
      ['some folder/ü+&?.bin', 17 * 1024 * 1024],
      ['empty.txt', 0],
    ])
    const { signal } = new AbortController()
    const kept = JSON.parse((await read(`apart/${steps['large']?.outputAt}`)) as string) as {
      value: string
    }
    expect(kept.value).toHaveLength(2_000)
    await database.query('delete from tidemark.jobs')
    await vi.waitFor(
      async () => expect(await store.names(`jobs/${handle.id}/`, { signal })).toEqual([]),
      { timeout: 30_000 },
    )
    await vi.waitFor(
      async () => expect(await read(`apart/${steps['large']?.outputAt}`)).toBeUndefined(),
      { timeout: 30_000 },
    )
  }, 120_000)
}
