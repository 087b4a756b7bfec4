import type { Hono, MiddlewareHandler } from 'hono'
import type { App } from 'tidemark'
import { z } from 'zod'
import { kindOf, type ApiAction, type Subject } from '../access/access.ts'
import type { ApiEnv, Gate } from '../access/gate.ts'
import type { Veil } from '../access/veil.ts'
import { checked, readBody } from '../answers/json-body.ts'
import { jsonResponse } from '../answers/json.ts'
import type { OverviewFeed } from '../live/overview-feed.ts'

/** What the routes of the system work with. */
export interface System {
  readonly app: App
  readonly basePath: string
  readonly gate: Gate
  /** Refuses bodies that are too large. */
  readonly limited: MiddlewareHandler<ApiEnv>
  readonly feed: OverviewFeed
}

/** A request whose path, query and body have been checked. */
export interface Asked<Query, Body> {
  readonly app: App
  /** What the path says, by the names in its braces. */
  readonly path: Readonly<Record<string, string>>
  readonly query: Query
  readonly body: Body
  readonly veil: () => Promise<Veil>
  readonly feed: OverviewFeed
  readonly request: Request
  /** Asks again whether the request may do this. */
  readonly still: () => Promise<boolean>
}

/** One route: what it takes and answers, for the server and for the OpenAPI document. */
export interface Route<Query = unknown, Body = unknown> {
  readonly method: 'get' | 'post'
  /** As in the document: `/listeners/{listener}/pause`. */
  readonly path: string
  readonly id: string
  readonly summary: string
  readonly action: ApiAction
  /** What the first name in the path is of. */
  readonly about?: Subject['kind']
  readonly query?: z.ZodType<Query>
  readonly body?: z.ZodType<Body>
  /** The name of the component that it answers. */
  readonly answer: string
  /** Whether it answers server-sent events, whose data is that component. */
  readonly streams?: boolean
  readonly handle: (asked: Asked<Query, Body>) => Promise<unknown>
}

/** A route, with the types of its query and body inferred. */
export function route<Query = Record<string, never>, Body = Record<string, never>>(
  given: Route<Query, Body>,
): Route {
  return given as Route
}

const nothing = z.strictObject({})
const name = z.string().min(1).max(1000)

/** The names in the braces of a path. */
export function parametersOf({ path }: Pick<Route, 'path'>): string[] {
  return [...path.matchAll(/\{(\w+)\}/gu)].map((match) => match[1] as string)
}

/** Adds routes to those of an API. */
export function addRoutes(routes: Hono<ApiEnv>, system: System, all: readonly Route[]): void {
  const { app, gate, limited, feed } = system
  for (const one of all) {
    const { method, about, action, query = nothing, body = nothing, handle } = one
    const [first] = parametersOf(one)
    const subject =
      about === undefined || first === undefined
        ? undefined
        : (param: (name: string) => string | undefined): Subject => ({
            kind: about,
            name: param(first) ?? '',
          })
    routes.on(
      method,
      one.path.replaceAll(/\{(\w+)\}/gu, ':$1'),
      gate.may(action, subject && ((context) => subject((key) => context.req.param(key)))),
      ...(kindOf(action) === 'steer' ? [limited] : []),
      async (context) => {
        const { req } = context
        const path = Object.fromEntries(
          parametersOf(one).map((key) => [key, checked(`the path`, name, req.param(key))]),
        )
        const asked = {
          app,
          path,
          query: checked('the query', query, req.query()),
          body: method === 'get' ? {} : await readBody(req, body),
          veil: context.var.veil,
          feed,
          request: req.raw,
          still: () => gate.still(context, action),
        }
        const answer = await handle(asked)
        return answer instanceof Response ? answer : jsonResponse(answer)
      },
    )
  }
}
