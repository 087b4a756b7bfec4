import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { defineJob, fileSchema, webhookOf, webhookSchema } from 'tidemark'
import { expect, test, vi } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { untilStatus } from '../support/jobs.ts'
import { appOn } from '../support/test-app.ts'

vi.setConfig({ testTimeout: 60_000 })

const database = useFreshDatabase()
const quiet = { handleSignals: false }
const payment = z.object({ order: z.string(), cents: z.number() })
const context = z.object({
  webhook: webhookSchema(payment),
  files: z.array(fileSchema).default([]),
})

test("a webhook and its files come with the job, typed, without what proves the sender's identity", async () => {
  const take = defineJob('take', {
    input: z.object({ order: z.string() }),
    context,
    run: (job) => {
      const { webhook, files } = job.context
      return [webhook.payload.cents + 1, webhook.headers, webhook.receivedAt instanceof Date, files]
    },
  })
  const book = defineJob('book', {
    input: z.number(),
    context: z.object({ note: z.string() }),
    transact: async (job) => job.context.note,
  })
  await using app = appOn(database, [take, book])
  await app.start(quiet)
  const request = new Request('https://shop.test/hooks', {
    method: 'POST',
    headers: { authorization: 'Bearer secret', 'x-signature': 'abc' },
    body: JSON.stringify({ order: 'o-1', cents: 41 }),
  })
  const webhook = await webhookOf(request)
  const files = [{ name: 'receipt.pdf', location: 's3://receipts/1', size: 10 }]
  const handle = await app.jobs.spawn(take, { order: 'o-1' }, { context: { webhook, files } })
  const headers = { 'content-type': 'text/plain;charset=UTF-8', 'x-signature': 'abc' }
  expect(await handle.result()).toEqual([42, headers, true, files])
  const booked = await app.jobs.spawn(book, 1, { context: { note: 'paid' } })
  expect(await booked.result()).toBe('paid')
})

test('a context that its schema refuses is not spawned, and one that is stored and cannot be read fails the job', async () => {
  const take = defineJob('take', { input: z.number(), context, run: () => {} })
  const plain = defineJob('plain', { input: z.number(), run: () => {} })
  await using app = appOn(database, [take, plain])
  await app.start(quiet)
  const invalid = { code: 'TIDEMARK_INVALID_INPUT' }
  await expect(app.jobs.spawn(take, 1)).rejects.toMatchObject(invalid)
  await expect(app.jobs.spawn(plain, 1, { context: {} })).rejects.toMatchObject(invalid)
  const { rows } = await database.query<{ id: string }>(`select tidemark.spawn('take', '1') as id`)
  const id = rows[0]?.id ?? ''
  await untilStatus(database, id, 'failed')
  expect((await app.jobs.get(id)).error?.message).toMatch(/the context of take is invalid/u)
})

test('a job keeps its directory between attempts, and loses it when it has finished', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'data-dir-'))
  try {
    const download = defineJob('download', {
      input: z.number(),
      retry: { attempts: 2, backoff: () => 1 },
      run: async (job, ctx) => {
        const path = join(await ctx.dataDir(), 'part')
        if (job.attempt === 1) {
          await writeFile(path, 'half')
          throw new Error('as told')
        }
        return [await readFile(path, 'utf8'), path]
      },
    })
    const stays = defineJob('stays', {
      input: z.number(),
      run: async (_, ctx) => {
        await ctx.dataDir()
        await ctx.sleep('nap', '1h')
      },
    })
    await using app = appOn(database, [download, stays])
    const runner = await app.start({ ...quiet, jobs: { dataDir } })
    const waiting = await app.jobs.spawn(stays, 1)
    const handle = await app.jobs.spawn(download, 1)
    const [content, path] = (await handle.result()) as [string, string]
    expect(content).toBe('half')
    expect((await stat(join(path, '..'))).mode & 0o777).toBe(0o700)
    await untilStatus(database, waiting.id, 'scheduled')
    await runner.stop()
    await app.start({ ...quiet, maintenanceInterval: 100, jobs: { dataDir } })
    const [install = ''] = await readdir(dataDir)
    const left = () => readdir(join(dataDir, install))
    await expect.poll(left, { timeout: 10_000 }).toEqual([waiting.id])
    await app.jobs.cancel(waiting.id)
    await expect.poll(left, { timeout: 10_000 }).toEqual([])
  } finally {
    await rm(dataDir, { recursive: true, force: true })
  }
})
