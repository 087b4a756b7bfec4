import type { Hono } from 'hono'
import { isTidemarkError, type App, type JobSelection, type JobView } from 'tidemark'
import type { ApiEnv, Gate } from '../access/gate.ts'
import { checked } from '../answers/json-body.ts'
import { jsonResponse, withoutStacks } from '../answers/json.ts'
import { openApiDocument } from '../openapi/document.ts'
import type { ProgressStreams } from './progress-streams.ts'
import { logQuery, listQuery, resultQuery } from './requests.ts'

/** What the routes that change nothing work with. */
interface Looking {
  readonly app: App
  readonly basePath: string
  readonly gate: Gate
  readonly streams: ProgressStreams
}

const defaultLimit = 100

/** Adds the routes that change nothing. */
export function addLooking(routes: Hono<ApiEnv>, { app, basePath, gate, streams }: Looking): void {
  const { jobs } = app
  const read = gate.mayWithJob('read')

  let document: object | undefined
  routes.get('/openapi.json', gate.may('describe'), () => {
    document ??= openApiDocument(jobs.defined(), basePath)
    return jsonResponse(document)
  })

  routes.get('/types', gate.may('types'), async () => jsonResponse({ types: await typesOf(app) }))

  routes.get('/jobs', gate.may('list'), async ({ req }) => {
    const { since, limit = defaultLimit, ...query } = checked('the query', listQuery, req.query())
    const selection: JobSelection = {
      ...present(query),
      ...(since === undefined ? {} : { since: new Date(since) }),
      // One more says whether there is another page.
      limit: limit + 1,
    }
    const found = await jobs.list(selection)
    const page = found.slice(0, limit)
    const next = found.length > limit ? (page.at(-1)?.id ?? null) : null
    return jsonResponse({ jobs: page.map(jobBody), next })
  })

  routes.get('/jobs/:id', read, async ({ var: { job } }) =>
    jsonResponse(jobBody(job.largeOutput === null ? job : await jobs.get(job.id))),
  )

  routes.get('/jobs/:id/result', read, async ({ req, var: { job } }) => {
    const { wait = 0 } = checked('the query', resultQuery, req.query())
    try {
      const output = await jobs
        .handle(job.id)
        .result({ timeout: wait * 1000, signal: req.raw.signal })
      return jsonResponse({ status: 'completed', output })
    } catch (error) {
      if (!isTidemarkError(error, 'TIDEMARK_WAIT_TIMEOUT')) throw error
      return jsonResponse({ status: error.details['status'] }, 202, { 'retry-after': '1' })
    }
  })

  routes.get('/jobs/:id/attempts', read, async ({ var: { job } }) =>
    jsonResponse({
      attempts: (await jobs.attempts(job.id)).map((attempt) => ({
        ...attempt,
        error: withoutStacks(attempt.error),
      })),
    }),
  )

  routes.get('/jobs/:id/steps', read, async ({ var: { job } }) =>
    jsonResponse({ steps: await jobs.steps(job.id) }),
  )

  routes.get('/jobs/:id/logs', read, async ({ req, var: { job } }) => {
    const { after, limit } = checked('the query', logQuery, req.query())
    const lines = await jobs.logs(job.id, {
      ...(after === undefined ? {} : { after: BigInt(after) }),
      ...(limit === undefined ? {} : { limit }),
    })
    return jsonResponse({ lines })
  })

  routes.get('/jobs/:id/trace', read, async ({ var: { job } }) =>
    jsonResponse({ nodes: await jobs.trace(job.id) }),
  )

  routes.get('/jobs/:id/progress', read, ({ req, var: { job } }) =>
    streams.respond(req.raw, jobs.handle(job.id)),
  )
}

/** What processes have published, and what this application defines whether or not any process runs it. */
async function typesOf({ jobs }: App): Promise<object[]> {
  const published = await jobs.types()
  const defined = new Map(jobs.defined().map((type) => [type.name, type]))
  const known = new Set(published.map(({ name }) => name))
  return [
    ...published.map((type) => ({ ...type, spawnable: defined.has(type.name) })),
    ...[...defined.values()]
      .filter(({ name }) => !known.has(name))
      .map((type) => ({ ...type, processes: 0, spawnable: true })),
  ].toSorted((a, b) => (a.name < b.name ? -1 : 1))
}

function jobBody(job: JobView): object {
  return { ...job, error: withoutStacks(job.error) }
}

/** Without what is undefined, which stands for "not given". */
function present<T extends object>(value: T): { [Key in keyof T]: Exclude<T[Key], undefined> } {
  return Object.fromEntries(
    Object.entries(value).filter(([, inner]) => inner !== undefined),
  ) as never
}
