import { auditQuery, given, type AuditQuery } from './queries.ts'
import { route, type Route } from './route.ts'

/** Looking at the record of who changed what. */
export const auditRoutes: readonly Route[] = [
  route<AuditQuery>({
    method: 'get',
    path: '/audit',
    id: 'listAudit',
    summary:
      'Who changed what through this API, the console and the command line, the newest first',
    action: 'audit',
    query: auditQuery,
    answer: 'Audit',
    handle: async ({ app, query: { since, until, before, limit = 100, ...query } }) => {
      const found = await app.audit.list({
        ...given(query),
        ...(since === undefined ? {} : { since: new Date(since) }),
        ...(until === undefined ? {} : { until: new Date(until) }),
        ...(before === undefined ? {} : { before: BigInt(before) }),
        limit: limit + 1,
      })
      const entries = found.slice(0, limit)
      return { entries, next: found.length > limit ? (entries.at(-1)?.id ?? null) : null }
    },
  }),
]
