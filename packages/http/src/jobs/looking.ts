import type { Hono } from 'hono'
import { isTidemarkError, type App, type JobSelection, type JobView } from 'tidemark'
import type { ApiEnv, Gate } from '../access/gate.ts'
import type { Veil } from '../access/veil.ts'
import { checked } from '../answers/json-body.ts'
import { jsonResponse } from '../answers/json.ts'
import type { ProgressStreams } from './progress-streams.ts'
import { logQuery, listQuery, resultQuery } from './requests.ts'
import { selectionOf } from './selection.ts'

/** What the routes that change nothing work with. */
interface Looking {
  readonly app: App
  readonly gate: Gate
  /** The OpenAPI document. */
  readonly document: () => object
  readonly streams: ProgressStreams
}

const defaultLimit = 100

/** Adds the routes that change nothing. */
export function addLooking(routes: Hono<ApiEnv>, { app, gate, streams, document }: Looking): void {
  const { jobs } = app
  const read = gate.mayWithJob('read')

  routes.get('/openapi.json', gate.may('describe'), () => jsonResponse(document()))

  routes.get('/types', gate.may('types'), async () => jsonResponse({ types: await typesOf(app) }))

  routes.get('/jobs', gate.may('list'), async ({ req, var: { veil } }) => {
    const query = checked('the query', listQuery, req.query())
    const selection = (await selectionOf(query, veil)) as JobSelection
    const found = await jobs.search({ limit: defaultLimit, ...selection })
    const seen = await veil()
    return jsonResponse({ jobs: found.jobs.map((job) => jobBody(job, seen)), next: found.next })
  })

  routes.get('/jobs/:id', read, async ({ var: { job, veil } }) => {
    const seen = await veil()
    const apart = job.largeOutput !== null || job.encodedOutput
    const whole = apart && seen.open ? await jobs.get(job.id) : job
    return jsonResponse(jobBody(whole, seen))
  })

  routes.get('/jobs/:id/result', read, async ({ req, var: { job, veil } }) => {
    const { wait = 0 } = checked('the query', resultQuery, req.query())
    try {
      const output = await jobs
        .handle(job.id)
        .result({ timeout: wait * 1000, signal: req.raw.signal })
      const seen = (await veil()).payload('job', job.name, output)
      return jsonResponse({ status: 'completed', output: seen })
    } catch (error) {
      if (!isTidemarkError(error, 'TIDEMARK_WAIT_TIMEOUT')) throw error
      return jsonResponse({ status: error.details['status'] }, 202, { 'retry-after': '1' })
    }
  })

  routes.get('/jobs/:id/attempts', read, async ({ var: { job, veil } }) => {
    const seen = await veil()
    const attempts = await jobs.attempts(job.id)
    return jsonResponse({
      attempts: attempts.map((attempt) => ({ ...attempt, error: seen.error(attempt.error) })),
    })
  })

  routes.get('/jobs/:id/steps', read, async ({ var: { job, veil } }) => {
    const seen = await veil()
    const steps = await jobs.steps(job.id)
    return jsonResponse({
      steps: steps.map((step) => ({
        ...step,
        output: seen.payload('job', job.name, step.output),
        error: seen.error(step.error),
      })),
    })
  })

  routes.get('/jobs/:id/logs', read, async ({ req, var: { job, veil } }) => {
    const { after, limit } = checked('the query', logQuery, req.query())
    const seen = await veil()
    const lines = await jobs.logs(job.id, {
      ...(after === undefined ? {} : { after: BigInt(after) }),
      ...(limit === undefined ? {} : { limit }),
    })
    return jsonResponse({
      lines: lines.map((line) => ({ ...line, fields: seen.beside(line.fields) })),
    })
  })

  routes.get('/jobs/:id/trace', read, async ({ var: { job } }) =>
    jsonResponse({ nodes: await jobs.trace(job.id) }),
  )

  routes.get('/jobs/:id/progress', read, async ({ req, var: { job, veil } }) => {
    const seen = await veil()
    return streams.respond(req.raw, jobs.handle(job.id), (report) => ({
      ...report,
      progress: seen.payload('job', job.name, report.progress),
    }))
  })
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

function jobBody(job: JobView, veil: Veil): object {
  const payload = (value: unknown): unknown => veil.payload('job', job.name, value)
  return {
    ...job,
    input: payload(job.input),
    output: payload(job.output),
    progress: payload(job.progress),
    error: veil.error(job.error),
  }
}
