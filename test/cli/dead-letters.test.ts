import { exitCode } from '@tidemark/cli'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Project } from './project.ts'

const config = `
import { defineApp, defineEvent, defineListener } from 'tidemark'
import { z } from 'zod'

const noted = defineEvent('accounts.noted', { payload: z.object({ text: z.string() }) })
async function deliver(event, { tx }) {
  const { text } = event.payload
  if (text === 'bad' && (await tx.query('select from lenient')).rowCount === 0) throw new Error('no such address')
  await tx.query('insert into letters values ($1)', [text])
}
const keyed = defineListener('keyed', { retry: { attempts: 1 }, onFailure: 'park-key' }).on(noted, deliver)
const strict = defineListener('strict', { retry: { attempts: 1 }, partitions: 2 }).on(noted, async (event, context) => {
  if (event.payload.text === 'bad') throw new Error('never')
})
export default defineApp({ modules: [{ noted, keyed, strict }] })
`

let project: Project

beforeEach(async () => {
  project = await Project.create(
    config,
    'create table letters (text text); create table lenient (yes boolean)',
  )
})

afterEach(async () => {
  await project[Symbol.asyncDispose]()
})

interface Letter {
  readonly sequence: string
  readonly state: string
}

async function letters(...args: string[]): Promise<string[]> {
  const { value } = await project.json<Letter[]>('dead-letter', 'list', ...args)
  return value.map(({ sequence, state }) => `${sequence} ${state}`)
}

async function delivered(): Promise<unknown[]> {
  const { rows } = await project.database.query('select text from letters')
  return rows.map(({ text }) => text)
}

/** Has the keyed listener set an event aside, with one behind it. */
async function park(): Promise<void> {
  await project.publish('accounts.noted', { text: 'bad' }, '--key', 'k')
  await project.publish('accounts.noted', { text: 'behind' }, '--key', 'k')
  const last = await project.publish('accounts.noted', { text: 'other' }, '--key', 'j')
  await using _ = await project.worker()
  expect((await project.call('wait', 'keyed', last)).code).toBe(0)
}

test('dead letters are listed and shown, and one that is retried takes what waits behind it along', async () => {
  await park()
  expect(await delivered()).toEqual(['other'])
  expect(await letters()).toEqual(['1 parked', '2 waiting'])
  expect(await letters('--state', 'waiting')).toEqual(['2 waiting'])
  expect(await letters('--key', 'j')).toEqual([])
  const listed = await project.call('dead-letter', 'list', '--listener', 'keyed')
  expect(listed.stdout).toMatch(/keyed +1 +accounts\.noted +k +parked +1 .*no such address/u)
  const shown = await project.call('dead-letter', 'show', 'keyed', '1')
  expect(shown.stdout).toContain('TIDEMARK_HANDLER_FAILED')
  expect(shown.stdout).toMatch(/caused by: Error: no such address\n +at /u)
  expect(shown.stdout).toContain('"text": "bad"')
  const list = await project.call('listener', 'list')
  expect(list.stdout).toMatch(/DEAD LETTERS/u)
  expect(list.stdout).toMatch(/^keyed .* 2 {2}/mu)
  const doctor = await project.json<{ findings: { check: string; summary: string }[] }>('doctor')
  expect(doctor.value.findings).toContainEqual(
    expect.objectContaining({
      status: 'warning',
      summary: 'keyed has set aside 1 event, and 1 more behind a held key',
    }),
  )

  await project.database.query('insert into lenient values (true)')
  const retried = await project.json('dead-letter', 'retry', 'keyed', '1')
  expect(retried).toEqual({ code: 0, value: { listener: 'keyed', events: 1, left: 0 } })
  const after = await project.publish('accounts.noted', { text: 'after' }, '--key', 'k')
  await using _ = await project.worker()
  expect((await project.call('wait', 'keyed', after)).code).toBe(0)
  expect(await delivered()).toEqual(['other', 'bad', 'behind', 'after'])
  expect(await letters()).toEqual([])
})

test('discard says how many and needs --yes; what is discarded is tried again only by its sequence', async () => {
  await park()
  const vague = await project.call('dead-letter', 'discard', 'keyed', '--yes')
  expect(vague.code).toBe(exitCode.usage)
  expect(vague.stderr).toContain('Give a sequence, --key <key>, --group <group> or --all')
  const groups = await project.json<{ group: string; events: number }[]>('dead-letter', 'groups')
  expect(groups.value.map(({ events }) => events).reduce((sum, one) => sum + one, 0)).toBe(2)
  const group = groups.value[0]?.group ?? ''
  const ofGroup = await project.call('dead-letter', 'discard', 'keyed', '--group', group)
  expect(ofGroup.stderr).toContain(`this gives up ${groups.value[0]?.events} event`)
  const none = await project.call('dead-letter', 'discard', 'keyed', '--group', 'x')
  expect(none.code).toBe(exitCode.usage)
  const refused = await project.call('dead-letter', 'discard', 'keyed', '--key', 'k')
  expect(refused.code).toBe(exitCode.usage)
  expect(refused.stderr).toContain('this gives up 2 events that keyed has set aside')
  expect(await letters()).toEqual(['1 parked', '2 waiting'])
  const bounded = await project.call('dead-letter', 'discard', 'keyed', '--all', '--limit', '1')
  expect(bounded.stderr).toContain('this gives up 1 event')
  const done = await project.json('dead-letter', 'discard', 'keyed', '--all', '--yes')
  expect(done).toEqual({ code: 0, value: { listener: 'keyed', events: 2, left: 0 } })
  expect(await letters()).toEqual(['1 skipped', '2 skipped'])
  const all = await project.call('dead-letter', 'retry', 'keyed', '--all')
  expect(all.code).toBe(exitCode.failure)
  expect(all.stderr).toContain('TIDEMARK_UNKNOWN_DEAD_LETTER')
  const named = await project.json('dead-letter', 'retry', 'keyed', '2')
  expect(named.value).toEqual({ listener: 'keyed', events: 1, left: 0 })
  expect(await letters()).toEqual(['1 skipped', '2 retry'])
})

test('a halted listener skips the event it halted on, only with --yes, and the skip is recorded', async () => {
  await project.publish('accounts.noted', { text: 'bad' }, '--key', 'a')
  const last = await project.publish('accounts.noted', { text: 'good' }, '--key', 'a')
  await using worker = await project.worker()
  await worker.printed('stderr', 'strict has halted')
  const refused = await project.call('listener', 'skip', 'strict')
  expect(refused.code).toBe(exitCode.usage)
  expect(refused.stderr).toContain('strict would never handle event 1')
  const other = await project.call('listener', 'skip', 'strict', '--sequence', '2', '--yes')
  expect(other.code).toBe(exitCode.failure)
  expect(other.stderr).toContain('strict has not halted on event 2')
  const { rows } = await project.database.query<{ epoch: string }>(
    `select epoch from tidemark.cursors where listener = 'strict' and halted_at is not null`,
  )
  const skipped = await project.json<{ skipped: unknown[] }>('listener', 'skip', 'strict', '--yes')
  expect(skipped).toMatchObject({
    code: 0,
    value: { name: 'strict', skipped: [{ sequence: '1', type: 'accounts.noted' }] },
  })
  expect((await project.call('wait', 'strict', last)).code).toBe(0)
  expect(await letters('--listener', 'strict')).toEqual(['1 skipped'])
  const { rows: later } = await project.database.query<{ epoch: string }>(
    `select max(epoch) as epoch from tidemark.cursors where listener = 'strict'`,
  )
  expect(Number(later[0]?.epoch)).toBeGreaterThan(Number(rows[0]?.epoch))
  const shown = await project.call('listener', 'show', 'strict')
  expect(shown.stdout).toMatch(/status +active/u)
  const again = await project.call('listener', 'skip', 'strict', '--yes')
  expect(again.stderr).toContain('has not halted')
})
