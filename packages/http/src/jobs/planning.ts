import type { Hono } from 'hono'
import { parseJson, type RuntimeSchedule, type ScheduleTick } from 'tidemark'
import type { ApiEnv } from '../access/gate.ts'
import { checked, readBody } from '../answers/json-body.ts'
import { jsonResponse, withoutStacks } from '../answers/json.ts'
import { emptyBody, scheduleBody, ticksQuery } from './requests.ts'
import type { Steering } from './steering.ts'

/** Adds the routes of schedules, and of what is paused. */
export function addPlanning(
  routes: Hono<ApiEnv>,
  { app, basePath, gate, limited, triggeredBy }: Steering,
): void {
  const { schedules, pauses } = app.jobs

  routes.get('/schedules', gate.may('schedules'), async () =>
    jsonResponse({ schedules: await schedules.list() }),
  )
  routes.get('/schedules/:schedule', gate.may('schedules'), async ({ req }) =>
    jsonResponse(await schedules.get(req.param('schedule'))),
  )
  routes.get('/schedules/:schedule/ticks', gate.may('schedules'), async ({ req }) => {
    const { limit = 100 } = checked('the query', ticksQuery, req.query())
    const { name } = await schedules.get(req.param('schedule'))
    const ticks = await schedules.ticks(name, { limit })
    return jsonResponse({ ticks: ticks.map(tickBody) })
  })
  routes.put('/schedules/:schedule', gate.may('changeSchedule'), limited, async ({ req }) => {
    const name = req.param('schedule')
    const schedule = await readBody(req, scheduleBody, parseJson)
    await schedules.putJson(name, schedule as RuntimeSchedule)
    return jsonResponse(await schedules.get(name))
  })
  routes.delete('/schedules/:schedule', gate.may('changeSchedule'), limited, async ({ req }) => {
    await schedules.remove(req.param('schedule'))
    return new Response(null, { status: 204 })
  })
  for (const action of ['pause', 'resume'] as const) {
    const path = `/schedules/:schedule/${action}` as const
    routes.post(path, gate.may('pauseSchedule'), limited, async ({ req }) => {
      await readBody(req, emptyBody)
      await schedules[action](req.param('schedule'))
      return jsonResponse(await schedules.get(req.param('schedule')))
    })
  }
  routes.post('/schedules/:schedule/run', gate.may('runSchedule'), limited, async ({ req }) => {
    await readBody(req, emptyBody)
    const by = await triggeredBy(req.raw)
    const handle = await schedules.run(req.param('schedule'), { triggeredBy: by })
    const { id, duplicate, outcome } = handle
    return jsonResponse({ id, duplicate, outcome }, 202, { location: `${basePath}/jobs/${id}` })
  })

  const paused = async (): Promise<Response> => jsonResponse({ pauses: await pauses.list() })
  routes.get('/pauses', gate.may('pauses'), paused)
  const hold = (path: string, work: (name: string, request: Request) => Promise<unknown>): void => {
    routes.post(path, gate.may('hold'), limited, async ({ req }) => {
      await readBody(req, emptyBody)
      await work(req.param('queue') ?? req.param('name') ?? '', req.raw)
      return paused()
    })
  }
  hold('/queues/:queue/pause', async (name, request) =>
    pauses.pauseQueue(name, { by: await triggeredBy(request) }),
  )
  hold('/queues/:queue/resume', (name) => pauses.resumeQueue(name))
  hold('/types/:name/pause', async (name, request) =>
    pauses.pauseType(name, { by: await triggeredBy(request) }),
  )
  hold('/types/:name/resume', (name) => pauses.resumeType(name))
}

function tickBody(tick: ScheduleTick): object {
  return { ...tick, error: withoutStacks(tick.error) }
}
