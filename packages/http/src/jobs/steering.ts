import { createHash } from 'node:crypto'
import type { Hono, MiddlewareHandler } from 'hono'
import {
  parseJson,
  type App,
  type BulkResult,
  type BulkSelection,
  type BulkVerb,
  type Duration,
  type JobStatus,
  type SpawnOptions,
} from 'tidemark'
import type { JobAction } from '../access/access.ts'
import type { ApiEnv, Gate } from '../access/gate.ts'
import { readBody } from '../answers/json-body.ts'
import { jsonResponse } from '../answers/json.ts'
import { invalidRequest } from '../answers/problem.ts'
import {
  bulkBody,
  emptyBody,
  patchBody,
  signalBody,
  spawnBody,
  type SpawnBody,
} from './requests.ts'
import { selectionOf } from './selection.ts'

/** What the routes that change something work with. */
export interface Steering {
  readonly app: App
  readonly basePath: string
  readonly gate: Gate
  /** Refuses bodies that are too large. */
  readonly limited: MiddlewareHandler<ApiEnv>
  readonly triggeredBy: (request: Request) => string | Promise<string>
}

/** Adds the routes that change something. */
export function addSteering(
  routes: Hono<ApiEnv>,
  { app, basePath, gate, limited, triggeredBy }: Steering,
): void {
  const { jobs } = app

  routes.post('/types/:name/jobs', gate.may('spawn'), limited, async ({ req }) => {
    const name = req.param('name')
    const body = await readBody(req, spawnBody, parseJson)
    const by = await triggeredBy(req.raw)
    const repeatable = idOf(body, req.header('idempotency-key'), [by, name])
    const options = { ...spawnOptions(body, by), ...repeatable }
    const handle = await jobs.spawnJson(name, body.input, options)
    const { outcome, duplicate } = handle
    return jsonResponse({ id: handle.id, duplicate, outcome }, 202, {
      location: `${basePath}/jobs/${handle.id}`,
    })
  })

  const steer = (
    action: JobAction,
    work: (id: string, request: Request) => Promise<JobStatus>,
  ): void => {
    routes.post(`/jobs/:id/${action}`, gate.mayWithJob(action), limited, async (context) => {
      await readBody(context.req, emptyBody)
      const { id } = context.var.job
      return jsonResponse({ id, status: await work(id, context.req.raw) })
    })
  }
  steer('cancel', (id) => jobs.cancel(id))
  steer('pause', (id) => jobs.pause(id))
  steer('resume', (id) => jobs.resume(id))
  steer('retry', async (id, request) => jobs.retry(id, { triggeredBy: await triggeredBy(request) }))

  routes.post('/jobs/:id/signals', gate.mayWithJob('signal'), limited, async (context) => {
    const { name, payload = null } = await readBody(context.req, signalBody)
    const { id } = context.var.job
    await jobs.signal(id, name, payload)
    return jsonResponse({ id, name }, 202)
  })

  routes.delete('/jobs/:id', gate.mayWithJob('delete'), limited, async (context) => {
    await jobs.delete(context.var.job.id)
    return new Response(null, { status: 204 })
  })

  const many = (
    verb: BulkVerb,
    work: (selection: BulkSelection, request: Request) => Promise<BulkResult>,
  ): void => {
    routes.post(
      `/bulk/${verb}`,
      gate.may(`${verb}Many`),
      limited,
      async ({ req, var: { veil } }) => {
        const selection = await selectionOf(await readBody(req, bulkBody), veil)
        return jsonResponse(await work(selection as BulkSelection, req.raw))
      },
    )
  }
  many('cancel', (selection) => jobs.bulk.cancel(selection))
  many('pause', (selection) => jobs.bulk.pause(selection))
  many('resume', (selection) => jobs.bulk.resume(selection))
  many('delete', (selection) => jobs.bulk.delete(selection))
  many('retry', async (selection, request) =>
    jobs.bulk.retry(selection, { triggeredBy: await triggeredBy(request) }),
  )

  routes.patch('/jobs/:id', gate.mayWithJob('reprioritise'), limited, async (context) => {
    const { priority } = await readBody(context.req, patchBody)
    const { id } = context.var.job
    return jsonResponse({ id, status: await jobs.reprioritise(id, priority) })
  })
}

function spawnOptions(body: SpawnBody, triggeredBy: string): SpawnOptions {
  const { delay, runAt, debounce, throttle, priority } = body
  const { queue, uniqueKey, onDuplicate, concurrencyKey } = body
  return {
    triggeredBy,
    ...(delay === undefined ? {} : { delay: delay as Duration }),
    ...(runAt === undefined ? {} : { runAt: new Date(runAt) }),
    ...(debounce === undefined ? {} : { debounce: debounce as Duration }),
    ...(throttle === undefined ? {} : { throttle: throttle as Duration }),
    ...(priority === undefined ? {} : { priority }),
    ...(queue === undefined ? {} : { queue }),
    ...(uniqueKey === undefined ? {} : { uniqueKey }),
    ...(onDuplicate === undefined ? {} : { onDuplicate }),
    ...(concurrencyKey === undefined ? {} : { concurrencyKey }),
  }
}

/**
 * What makes a request safe to repeat: the id that was given, or one made of the key with a digest of the body, so that
 * another request with the same key is noticed.
 */
function idOf(
  body: SpawnBody,
  key: string | undefined,
  scope: readonly string[],
): { readonly id?: string; readonly request?: string } {
  const { id } = body
  if (key === undefined) return id === undefined ? {} : { id }
  if (id !== undefined) {
    throw invalidRequest(400, 'the request has both an id and the header Idempotency-Key')
  }
  if (key === '' || key.length > 255) {
    throw invalidRequest(400, 'the header Idempotency-Key must have 1 to 255 characters')
  }
  const seed = JSON.stringify([...scope, key])
  const bytes = createHash('sha256').update(seed).digest().subarray(0, 16)
  // UUID version 8: made in a way of our own.
  bytes[6] = ((bytes[6] as number) & 0x0f) | 0x80
  bytes[8] = ((bytes[8] as number) & 0x3f) | 0x80
  return {
    id: bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/u, '$1-$2-$3-$4-'),
    request: createHash('sha256').update(canonical(body)).digest('hex'),
  }
}

/** JSON in which the order of keys says nothing. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) => {
    if (typeof inner === 'bigint') return String(inner)
    return typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : inner
  })
}
