import { exitCode } from '@tidemark/cli'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { untilStatus } from '../support/jobs.ts'
import { Project } from './project.ts'
import { TidemarkTask } from './tidemark.ts'

const config = `
import { defineApp, defineEvent, defineJob, defineListener, defineSchedule } from 'tidemark'
import { z } from 'zod'

const ordered = defineEvent('shop.ordered', { payload: z.object({ order: z.string() }) })
const packed = defineEvent('shop.packed', { payload: z.object({ order: z.string() }) })
const pack = defineJob('pack', {
  description: 'Packs an order.',
  input: z.object({ order: z.string(), grams: z.bigint().default(0n) }),
  retry: { attempts: 1 },
  run: async (job, ctx) => {
    ctx.progress(0.5)
    if (job.input.order === 'broken') throw new Error('it fell down')
    if (job.input.order === 'unpaid') await ctx.step('pay', () => { throw new RangeError('no money') })
    if (job.input.order === 'endless') for (;;) { await ctx.checkInterrupt() }
    await ctx.transaction(async (tx) => tx.publish(packed({ order: job.input.order })), { step: 'box' })
    ctx.log.info({ order: job.input.order }, 'packed')
    return { grams: job.input.grams * 2n }
  },
})
const shop = defineListener('shop').on(ordered, (event, { spawn }) => spawn(pack, event.payload).then(() => {}))
const nightly = defineSchedule('nightly', { cron: '0 3 1 1 *', job: pack, input: { order: 'stock' } })
export default defineApp({ modules: [{ ordered, packed, pack, shop, nightly }] })
`

let project: Project

beforeEach(async () => {
  project = await Project.create(config, 'select 1')
})

afterEach(async () => {
  await project[Symbol.asyncDispose]()
})

interface Spawned {
  readonly id: string
  readonly duplicate: boolean
}

async function spawn(...args: string[]): Promise<string> {
  const { value } = await project.json<Spawned>('job', 'spawn', ...args)
  return value.id
}

async function statusOf(id: string): Promise<string> {
  return (await project.json<{ status: string }>('job', 'show', id)).value.status
}

test('a job is spawned with JSON, followed on stderr, and its output is the result', async () => {
  await using _ = await project.worker()
  const input = '{"order": "o-1", "grams": 9007199254740993}'
  const { code, stdout, stderr } = await project.call('job', 'spawn', 'pack', input, '--follow')
  expect(code).toBe(0)
  expect(JSON.parse(stdout)).toEqual({ grams: '18014398509481986' })
  expect(stderr).toMatch(/: completed/u)
  const failed = await project.call('job', 'spawn', 'pack', '{"order": "broken"}', '--follow')
  expect(failed.code).toBe(exitCode.failure)
  expect(failed.stderr).toMatch(/TIDEMARK_JOB_FAILED.*it fell down/u)
  const [id] = /[\da-f-]{36}/u.exec(failed.stderr) ?? []
  const shown = await project.call('job', 'show', id ?? '')
  expect(shown.stdout).toMatch(/status +failed/u)
  expect(shown.stdout).toMatch(/ +1 +failed +cli .* it fell down/u)
  const followed = await project.call('job', 'show', id ?? '', '--follow')
  expect(followed.code).toBe(exitCode.failure)
  expect(followed.stdout).toBe(shown.stdout)
})

test('jobs are listed and shown, and types with who runs them', async () => {
  const first = await spawn('pack', '{"order": "o-1"}', '--priority', '-5', '--unique-key', 'k')
  const again = await project.json<Spawned>(
    'job',
    'spawn',
    'pack',
    '{"order": "o-1"}',
    '--unique-key',
    'k',
  )
  expect(again.value).toMatchObject({ id: first, duplicate: true })
  const later = await spawn('pack', '{"order": "o-2"}', '--delay', '1h', '--queue', 'slow')
  const ids = async (...args: string[]): Promise<string[]> =>
    (await project.json<{ id: string }[]>('job', 'list', ...args)).value.map(({ id }) => id)
  expect(await ids()).toEqual([later, first])
  expect(await ids('--status', 'scheduled')).toEqual([later])
  expect(await ids('--queue', 'slow', '--name', 'pack')).toEqual([later])
  expect(await ids('--after', later)).toEqual([first])
  expect(await ids('--since', '2999-01-01')).toEqual([])
  const page = await project.call('job', 'list', '--limit', '1')
  expect(page.stderr).toContain(`There may be more: --after ${later}`)
  const shown = await project.call('job', 'show', first)
  expect(shown.stdout).toMatch(/priority +-5/u)
  expect(shown.stdout).toContain('"order": "o-1"')
  const types = await project.json<object[]>('job', 'types')
  expect(types.value).toMatchObject([{ name: 'pack', processes: 0, input: { type: 'object' } }])
  await using _ = await project.worker()
  expect((await project.call('job', 'types')).stdout).toMatch(
    /pack +1 +default +1 +Packs an order/u,
  )
})

test('jobs are counted by type and status, and what one logs is printed', async () => {
  expect((await project.call('job', 'counts')).stderr).toBe('There are no jobs.\n')
  await spawn('pack', '{"order": "o-1"}', '--delay', '1h')
  const id = await spawn('pack', '{"order": "o-2"}')
  const waiting = await project.call('job', 'counts')
  expect(waiting.stdout).toMatch(/^JOB +SCHEDULED +QUEUED\npack +1 +1\n$/u)
  await using _ = await project.worker()
  const followed = await project.call('job', 'logs', id, '--follow')
  expect(followed.stdout).toMatch(/^\S+Z info +packed \{"order":"o-2"\}\n$/u)
  const again = await project.call('job', 'logs', id, '--json')
  expect(JSON.parse(again.stdout)).toMatchObject({ message: 'packed', fields: { order: 'o-2' } })
  const counts = await project.json<object[]>('job', 'counts')
  expect(counts.value).toContainEqual({ name: 'pack', status: 'completed', jobs: 1 })
  const nobody = await project.call('job', 'logs', '00000000-0000-7000-8000-000000000000')
  expect(nobody.code).toBe(exitCode.failure)
})

test('one job is steered by its id; many only with --yes, after saying how many', async () => {
  const ids = [await spawn('pack', '{"order": "a"}'), await spawn('pack', '{"order": "b"}')]
  const [first = '', second = ''] = ids
  expect((await project.call('job', 'pause', first)).stdout).toBe('1 job paused.\n')
  expect(await statusOf(first)).toBe('paused')
  expect((await project.call('job', 'resume', first)).code).toBe(0)
  expect(await statusOf(first)).toBe('queued')

  const vague = await project.call('job', 'cancel', '--yes')
  expect(vague.code).toBe(exitCode.usage)
  expect(vague.stderr).toContain('which jobs?')
  const unsure = await project.call('job', 'cancel', '--name', 'pack')
  expect(unsure.code).toBe(exitCode.usage)
  expect(unsure.stderr).toContain('this cancels 2 jobs')
  expect(await statusOf(second)).toBe('queued')
  const cancelled = await project.call('job', 'cancel', '--name', 'pack', '--yes')
  expect(cancelled).toMatchObject({ code: 0, stdout: '2 jobs cancelled.\n' })
  expect(await statusOf(second)).toBe('cancelled')
  const twice = await project.call('job', 'cancel', second)
  expect(twice.code).toBe(exitCode.failure)
  expect(twice.stderr).toContain('TIDEMARK_JOB_STATUS')
  const some = await project.json<{ jobs: object[] }>('job', 'retry', first, first)
  expect(some.code).toBe(exitCode.failure)
  expect(some.value.jobs).toMatchObject([
    { id: first, status: 'queued', error: null },
    { id: first, status: null, error: expect.stringContaining('cannot be retried') },
  ])
  const wrong = await project.call('job', 'cancel', 'x')
  expect(wrong.code).toBe(exitCode.usage)
  const unknown = await project.call('job', 'cancel', '0198c0de-0000-7000-8000-000000000000')
  expect(unknown.stderr).toContain('TIDEMARK_UNKNOWN_JOB')
})

test('a step that has failed is shown with its status and its error', async () => {
  await using _ = await project.worker()
  const { stderr } = await project.call('job', 'spawn', 'pack', '{"order": "unpaid"}', '--follow')
  const [id = ''] = /[\da-f-]{36}/u.exec(stderr) ?? []
  const shown = await project.call('job', 'show', id)
  expect(shown.stdout).toMatch(/STEP +STATUS +ENDED AT +OUTPUT OR ERROR/u)
  expect(shown.stdout).toMatch(/pay +failed .*RangeError: no money/u)
})

test('what is spawned again is gathered, and a priority is changed by name', async () => {
  const again = async (order: string): Promise<Spawned & { outcome: string }> => {
    const input = JSON.stringify({ order })
    const args = ['--unique-key', 'k', '--debounce', '1h']
    return (
      await project.json<Spawned & { outcome: string }>('job', 'spawn', 'pack', input, ...args)
    ).value
  }
  const { id } = await again('o-1')
  expect(await again('o-2')).toMatchObject({ id, outcome: 'replaced' })
  expect((await project.call('job', 'reprioritise', id, 'urgent')).stdout).toContain('-100')
  expect((await project.json('job', 'show', id)).value).toMatchObject({
    priority: -100,
    input: { order: 'o-2' },
  })
  for (const wrong of ['constructor', '2147483648', '1e3', '']) {
    expect((await project.call('job', 'reprioritise', id, wrong)).code).toBe(exitCode.usage)
  }
  for (const wrong of ['1e3s', '-1m', '', '36526d']) {
    const { code } = await project.call('job', 'spawn', 'pack', '{}', `--delay=${wrong}`)
    expect([wrong, code]).toEqual([wrong, exitCode.usage])
  }
  for (const wrong of ['2026-02-31', '0000-01-01', '2026-13-01', 'tomorrow']) {
    const { code } = await project.call('job', 'spawn', 'pack', '{}', '--run-at', wrong)
    expect([wrong, code]).toEqual([wrong, exitCode.usage])
  }
  // By another choice than the name, and days are lengths of time.
  await spawn('pack', '{"order": "o-3"}', '--delay', '2d')
  const cancelled = await project.call('job', 'cancel', '--unique-key', 'k', '--yes')
  expect(cancelled.stdout).toBe('1 job cancelled.\n')
})

test('a schedule is made, changed, shown and removed at run time', async () => {
  const put = (...args: string[]): ReturnType<typeof project.call> =>
    project.call('schedule', 'put', 'weekly', ...args)
  const made = await put('{"order": "o-1"}', '--cron', '0 8 * * 1', '--job', 'pack')
  expect(made.stdout).toMatch(/^weekly fires next at \d{4}-\d\d-\d\dT08:00:00/u)
  await put('{"order": "o-2"}', '--cron', '0 9 * * 1', '--job', 'pack', '--overlap', 'allow')
  expect((await project.json('schedule', 'show', 'weekly')).value).toMatchObject({
    source: 'runtime',
    cron: '0 9 * * 1',
    overlap: 'allow',
    input: { order: 'o-2' },
    ticks: [],
  })
  expect((await put('{"order": 1}', '--cron', '0 8 * * 1', '--job', 'pack')).code).toBe(
    exitCode.failure,
  )
  expect((await put('{}', '--cron', '2026-12-31T00:00:00', '--job', 'pack')).code).toBe(
    exitCode.usage,
  )
  expect((await project.call('schedule', 'remove', 'weekly')).stdout).toBe('weekly is removed.\n')
  expect((await project.call('schedule', 'show', 'weekly')).code).toBe(exitCode.failure)
})

test('a job is told something, and a job that is not there or has finished is not', async () => {
  const id = await spawn('pack', '{"order":"o-1"}')
  const told = await project.json('job', 'signal', id, 'approved', '{"by":"ada"}')
  expect(told.value).toEqual({ id, signal: 'approved' })
  const { rows } = await project.database.query('select name, payload from tidemark.job_signals')
  expect(rows).toEqual([{ name: 'approved', payload: { by: 'ada' } }])
  expect((await project.call('job', 'signal', id, 'approved', '{by')).code).toBe(exitCode.usage)
  await project.call('job', 'cancel', id)
  expect((await project.call('job', 'signal', id, 'approved')).stderr).toContain('takes no signals')
})

test('a running job is asked to stop; who stops following does not stop it', async () => {
  await using _ = await project.worker()
  const id = await spawn('pack', '{"order": "endless"}')
  await untilStatus(project.database, id, 'running')
  await using follower = new TidemarkTask(['job', 'show', id, '--follow'], project.options)
  await follower.printed('stderr', '50.0 %')
  follower.stop()
  const stopped = await follower.answer()
  expect(stopped.code).toBe(exitCode.failure)
  expect(stopped.stderr).toContain(`tidemark job cancel ${id}`)
  expect((await project.call('job', 'cancel', id)).stdout).toContain('1 running job asked to stop.')
  await untilStatus(project.database, id, 'cancelled')
})

test('trace shows the chain from event to job to step to event', async () => {
  await using _ = await project.worker()
  await project.publish('shop.ordered', { order: 'o-7' })
  await expect
    .poll(
      async () =>
        (await project.json<object[]>('job', 'list', '--status', 'completed')).value.length,
      { timeout: 20_000 },
    )
    .toBe(1)
  const { value } = await project.json<{ id: string }[]>('job', 'list')
  const id = value[0]?.id ?? ''
  const { stdout } = await project.call('job', 'trace', id)
  expect(stdout).toMatch(
    /^event shop\.ordered .*\n└─ job pack .* completed .*\n {3}└─ step box .*\n {6}└─ event shop\.packed .*\n$/u,
  )
  const nodes = await project.json<{ kind: string }[]>('job', 'trace', id)
  expect(nodes.value.map(({ kind }) => kind)).toEqual(['event', 'job', 'step', 'event'])
})

test('without a config a job goes through SQL, unchecked, and says so', async () => {
  const { code, stdout, stderr } = await project.call(
    'job',
    'spawn',
    'nobody_knows',
    '{}',
    '--no-config',
    '--unique-key',
    'u',
  )
  expect(code).toBe(0)
  expect(stderr).toContain('neither the name nor the input was checked')
  const [id = ''] = /[\da-f-]{36}/u.exec(stdout) ?? []
  expect(await statusOf(id)).toBe('queued')
  const again = await project.call(
    'job',
    'spawn',
    'nobody_knows',
    '{}',
    '--no-config',
    '--unique-key',
    'u',
  )
  expect(again.stdout).toContain(`${id} was there already`)
  const checked = await project.call('job', 'spawn', 'pak', '{}')
  expect(checked.code).toBe(exitCode.failure)
  expect(checked.stderr).toContain('Did you mean "pack"?')
})

test('schedules are listed, run, paused and resumed', async () => {
  await using _ = await project.worker()
  const list = async (): Promise<object[]> =>
    (await project.json<object[]>('schedule', 'list')).value
  // A worker writes its schedules down once it runs.
  await expect
    .poll(list, { timeout: 20_000 })
    .toMatchObject([{ name: 'nightly', status: 'active', job: 'pack' }])
  expect((await project.call('schedule', 'pause', 'nightly')).code).toBe(0)
  expect(await list()).toMatchObject([{ status: 'paused' }])
  const before = await list()
  const run = await project.json<{ output: unknown }>('schedule', 'run', 'nightly', '--follow')
  expect(run).toMatchObject({ code: 0, value: { output: { grams: '0' } } })
  expect(await list()).toEqual(before)
  expect((await project.call('schedule', 'resume', 'nightly')).code).toBe(0)
  expect(await list()).toMatchObject([{ status: 'active' }])
  // A tick of a schedule of the year's first night: what a worker wrote down of it.
  await project.database.query(
    `INSERT INTO tidemark.schedule_ticks (schedule, tick, outcome, error)
     VALUES ('nightly', '2026-01-01T03:00Z', 'failed', '{"name":"Error","message":"no stock"}')`,
  )
  const shown = await project.call('schedule', 'show', 'nightly')
  expect(shown.stdout).toMatch(/cron +0 3 1 1 \*/u)
  expect(shown.stdout).toMatch(/2026-01-01T03:00:00.000Z +failed +- +no stock/u)
  const whole = await project.json<{ readonly ticks: object[] }>('schedule', 'show', 'nightly')
  expect(whole.value.ticks).toMatchObject([{ outcome: 'failed', error: { message: 'no stock' } }])
  const wrong = await project.call('schedule', 'show', 'nigthly')
  expect(wrong.code).toBe(exitCode.failure)
  expect(wrong.stderr).toContain('Did you mean "nightly"?')
})
