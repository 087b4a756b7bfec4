import { createApi } from '@tidemark/http'
import { useTestDatabase } from '@tidemark/testing/vitest'
import type { App, Finding, FindingAction } from 'tidemark'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { appOn } from '../support/test-app.ts'
import { ApiClient } from './client.ts'
import { broken, hung, modules, noted, tiny, worker } from './planted.ts'

type Offered = FindingAction & {
  readonly request: { readonly needs: string; readonly path: string; readonly body: unknown }
}

const database = useTestDatabase()
let app: App

beforeEach(async () => {
  broken.clear()
  await database.query('create table if not exists planted (note text)')
  app = appOn(database, modules)
})

afterEach(async () => {
  await app.close()
})

/** What is offered now, by the code of the finding. */
async function offered(client: ApiClient): Promise<ReadonlyMap<string, Offered>> {
  const { findings } = (await client.get('/doctor')).body as {
    findings: (Omit<Finding, 'actions'> & { actions: readonly Offered[] })[]
  }
  return new Map(
    findings.flatMap(({ code, actions }) => actions.map((one) => [code, one] as const)),
  )
}

/** Makes one of each thing that something can be done about at once; nobody runs afterwards. */
async function plant(): Promise<void> {
  {
    await using runner = await app.start(worker)
    broken.add('halt').add('park').add('schedule')
    await app.publish(noted({ note: 'bad' }), { key: "k'1" })
    await vi.waitFor(async () => {
      // As soon as the worker has written it down.
      await database.query(
        `update tidemark.schedules set next_at = date_trunc('hour', clock_timestamp())`,
      )
      const found = (await app.doctor.examine()).map(({ code }) => code)
      expect(found).toEqual(
        expect.arrayContaining(['listener-halted', 'dead-letters', 'schedule-failing']),
      )
    }, hung)
    await runner.stop()
  }
  broken.clear()
  await app.listeners.pause('sleeper')
  await app.jobs.pauses.pauseQueue('a queue', { by: 'test' })
  await app.jobs.pauses.pauseType('tiny', { by: 'test' })
  await app.jobs.spawn(tiny, {}, { delay: '1d' })
  await database.query('alter table tidemark.jobs disable trigger user')
  await database.query('delete from tidemark.jobs')
  await database.query('alter table tidemark.jobs enable trigger user')
}

test(
  'what is offered for a finding is refused to who may not, else done by its request, recorded, and the finding is gone',
  { timeout: 150_000 },
  async () => {
    await plant()
    const client = new ApiClient(createApi(app, { triggeredBy: () => 'ada' }))
    const before = await offered(client)

    // Who may only look is shown the same, and refused by the server.
    const asked: string[] = []
    const looking = new ApiClient(
      createApi(app, {
        authorize: ({ action, kind }) => {
          if (kind === 'steer') asked.push(action)
          return kind !== 'steer'
        },
      }),
    )
    for (const { request } of before.values())
      expect((await looking.send('POST', `/${request.path}`, request.body)).status).toBe(403)
    expect(asked).toEqual([...before.values()].map(({ request }) => request.needs))
    expect([...(await offered(looking)).keys()]).toEqual([...before.keys()])
    expect(await app.audit.list()).toEqual([])

    expect([...before.keys()].toSorted()).toEqual([
      'dead-letters',
      'job-type-paused',
      'jobs-miscounted',
      'listener-halted',
      'listener-paused',
      'queue-paused',
      'schedule-failing',
    ])
    for (const { request } of before.values()) {
      const answer = await client.send('POST', `/${request.path}`, request.body)
      expect(answer.status, JSON.stringify(answer.body)).toBeLessThan(300)
    }
    const { entries } = (await client.get('/audit')).body as {
      entries: Record<'action' | 'outcome' | 'by', string>[]
    }
    expect(
      entries.map(({ action, outcome, by }) => `${action} ${outcome} ${by}`).toSorted(),
    ).toEqual([...before.values()].map(({ request }) => `${request.needs} done ada`).toSorted())
    // Its last tick stays what it was, and so does what has not been handled once more.
    expect([...(await offered(client)).keys()].toSorted()).toEqual(['schedule-failing'])
    expect(await app.jobs.list({ name: 'tiny' })).toHaveLength(1)
  },
)
