import type { MiddlewareHandler } from 'hono'
import { isTidemarkError, type App, type AuditOutcome } from 'tidemark'
import { kindOf, type ApiAction } from './access.ts'
import type { ApiEnv } from './gate.ts'

/** How what a request changes is recorded. */
export interface RecorderOptions {
  /** By which way it came: `http`, or `console`. */
  readonly via: string
  readonly triggeredBy: (request: Request) => string | Promise<string>
  /** Actions that are not recorded. */
  readonly except?: readonly ApiAction[]
}

// Whoever may look at the record need not be one who may see payloads.
const payloads = new Set(['input', 'payload'])
// What an answer says of what was made or how many there were.
const told = ['id', 'job', 'jobs', 'events', 'skipped', 'done', 'asked', 'refused', 'duplicate']

/** Records who changes what: before it is done, and what came of it. Behind the gate and the limit of bodies. */
export function recorder(
  app: App,
  { via, triggeredBy, except = [] }: RecorderOptions,
): MiddlewareHandler<ApiEnv> {
  return async (context, next) => {
    const { action, subject } = context.var.passed
    if (kindOf(action) !== 'steer' || except.includes(action)) return next()
    const by = await triggeredBy(context.req.raw)
    const asked = withoutPayloads(await context.req.text())
    return app.audit.record({ via, by, action, subject, asked }, next, () =>
      outcomeOf(context.res, context.error),
    )
  }
}

async function outcomeOf(response: Response, error: Error | undefined): Promise<AuditOutcome> {
  const { status } = response
  const outcome = status < 400 ? 'done' : status < 500 ? 'refused' : 'failed'
  const code = isTidemarkError(error) ? error.code : null
  return {
    outcome,
    code,
    result: { status, ...(outcome === 'done' ? await resultOf(response) : {}) },
  }
}

async function resultOf(response: Response): Promise<Record<string, unknown>> {
  const answer = objectIn(await response.clone().text())
  return Object.fromEntries(
    told
      .filter((name) => ['string', 'number', 'boolean'].includes(typeof answer[name]))
      .map((name) => [name, answer[name]]),
  )
}

function withoutPayloads(body: string): Record<string, unknown> {
  return Object.fromEntries(Object.entries(objectIn(body)).filter(([name]) => !payloads.has(name)))
}

/** The object that a text of JSON is; an empty one when it is none: such a body is refused. */
function objectIn(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : {}
  } catch {
    return {}
  }
}
