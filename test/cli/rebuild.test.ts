import { exitCode } from '@tidemark/cli'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Project } from './project.ts'
import { TidemarkTask } from './tidemark.ts'

const config = `
import { defineApp, defineEvent, defineProjection } from 'tidemark'
import { z } from 'zod'

const noted = defineEvent('accounts.noted', { payload: z.object({ text: z.string() }) })
const notes = defineProjection('notes', { version: 1, tables: ['notes'], retry: { attempts: 1 } })
  .on(noted, async (event, { tx }) => {
    if ((await tx.query('select from broken')).rowCount > 0) throw new Error('out of order')
    await tx.query('insert into notes values ($1)', [event.payload.text])
  })
export default defineApp({ modules: [{ noted, notes }] })
`

let project: Project

beforeEach(async () => {
  project = await Project.create(
    config,
    'create table notes (text text); create table broken (yes boolean)',
  )
  const sequence = await project.publish('accounts.noted', { text: 'one' })
  await using _ = await project.worker()
  await project.call('wait', 'notes', sequence)
})

afterEach(async () => {
  await project[Symbol.asyncDispose]()
})

test('a rebuild that nobody runs is shown, named by the doctor, paused, resumed and cancelled', async () => {
  const none = await project.call('projection', 'pause', 'notes')
  expect(none.code).toBe(exitCode.failure)
  expect(none.stderr).toContain('TIDEMARK_NO_REBUILD')
  const started = await project.json('projection', 'rebuild', 'notes')
  expect(started.value).toMatchObject({
    projection: 'notes',
    version: 1,
    state: 'running',
    cursor: '0',
    liveCursor: '1',
    fraction: 0,
  })
  const again = await project.call('projection', 'rebuild', 'notes')
  expect(again.stdout).toContain('is being rebuilt already')
  const doctor = await project.call('doctor')
  expect(doctor.code).toBe(exitCode.checkFailed)
  expect(doctor.stdout).toMatch(/failed +runners +nobody can run the rebuild of notes \(version 1/u)

  const paused = await project.call('projection', 'pause', 'notes')
  expect(paused.stdout).toBe('The rebuild of notes is paused: paused at 0.0 %.\n')
  expect((await project.call('projection', 'list')).stdout).toMatch(
    /REBUILD.*\n.*rebuilding.* paused at 0\.0 %/u,
  )
  expect((await project.call('doctor')).stdout).toMatch(/warning +rebuilds +.*paused at 0\.0 %/u)
  const resumed = await project.json('projection', 'resume', 'notes')
  expect(resumed.value).toMatchObject({ state: 'running' })
  const refused = await project.call('projection', 'cancel', 'notes')
  expect(refused.code).toBe(exitCode.usage)
  expect(refused.stderr).toContain('made up to sequence 0 of 1')
  expect((await project.call('projection', 'cancel', 'notes', '--yes')).code).toBe(0)
  const shown = await project.json('projection', 'show', 'notes')
  expect(shown.value).toMatchObject({ status: 'active', rebuild: null, cursor: '1' })
})

test('rebuild --wait shows the progress until the new generation is live', async () => {
  await project.database.query(`insert into notes values ('made by hand')`)
  await using _ = await project.worker()
  const rebuilt = await project.call('projection', 'rebuild', 'notes', '--wait')
  expect(rebuilt).toMatchObject({ code: 0, stdout: 'notes was rebuilt.\n' })
  expect(rebuilt.stderr).toMatch(/^notes: \d+\.\d %/mu)
  const { rows } = await project.database.query('select text from notes')
  expect(rows).toEqual([{ text: 'one' }])
})

test('rebuild --wait fails when the rebuild halts or is cancelled, and the live one is untouched', async () => {
  await project.database.query('insert into broken values (true)')
  await using _ = await project.worker()
  const halted = await project.call('projection', 'rebuild', 'notes', '--wait')
  expect(halted.code).toBe(exitCode.failure)
  expect(halted.stderr).toContain('the rebuild of notes has halted after sequence 0')
  expect(halted.stderr).toContain('out of order')
  const doctor = await project.call('doctor')
  expect(doctor.code).toBe(exitCode.checkFailed)
  expect(doctor.stdout).toMatch(/failed +rebuilds +.*halted at 0\.0 %: .*out of order/u)
  expect((await project.call('projection', 'pause', 'notes')).code).toBe(0)
  await using waiting = new TidemarkTask(
    ['projection', 'rebuild', 'notes', '--wait'],
    project.options,
  )
  await waiting.printed('stderr', 'notes: paused at 0.0 %')
  expect((await project.call('projection', 'cancel', 'notes', '--yes')).code).toBe(0)
  const answer = await waiting.answer()
  expect(answer.code).toBe(exitCode.failure)
  expect(answer.stderr).toContain('the rebuild of notes was cancelled')
  const { rows } = await project.database.query('select text from notes')
  expect(rows).toEqual([{ text: 'one' }])
})

test('whoever stops waiting does not stop the rebuild', async () => {
  await using waiting = new TidemarkTask(
    ['projection', 'rebuild', 'notes', '--wait'],
    project.options,
  )
  await waiting.printed('stderr', 'notes: 0.0 %')
  expect(waiting.stderr).toContain('warning: no live process can run it')
  waiting.stop()
  const answer = await waiting.answer()
  expect(answer.code).toBe(exitCode.failure)
  expect(answer.stderr).toContain('It goes on.')
  const shown = await project.json('projection', 'show', 'notes')
  expect(shown.value).toMatchObject({ rebuild: { state: 'running' } })
})
