import type { BulkSelection, Finding } from 'tidemark'
import type { Veil } from '../access/veil.ts'
import { withoutStacks } from '../answers/json.ts'
import { emptyBody } from '../jobs/requests.ts'
import { selectionOf } from '../jobs/selection.ts'
import { requestFor } from './finding-requests.ts'
import {
  bulkVerbIn,
  doctorQuery,
  historyQuery,
  jobCountQuery,
  type JobCountQuery,
} from './queries.ts'
import { route, type Route } from './route.ts'

/** Looking at the system as a whole: what is wrong, the outbox, processes, queues and types of jobs. */
export const wholeRoutes: readonly Route[] = [
  route({
    method: 'get',
    path: '/overview',
    id: 'getOverview',
    summary: 'How things stand: rates, lags, who holds what up, and what is wrong',
    action: 'overview',
    answer: 'Overview',
    handle: async ({ feed, veil }) => feed.now(await veil()),
  }),
  route({
    method: 'get',
    path: '/overview/stream',
    id: 'followOverview',
    summary: 'How things stand, again and again, as server-sent events named `overview`',
    action: 'overview',
    answer: 'Overview',
    streams: true,
    handle: async ({ feed, veil, request, still }) => feed.respond(request, await veil(), still),
  }),
  route<{ since?: string | undefined }>({
    method: 'get',
    path: '/history',
    id: 'getHistory',
    summary: 'How things stood in the last hours, minute by minute',
    action: 'overview',
    query: historyQuery,
    answer: 'History',
    handle: async ({ app, query: { since } }) => ({
      samples: await app.history.list(since === undefined ? {} : { since: new Date(since) }),
    }),
  }),
  route<{ publisherAge?: number | undefined }>({
    method: 'get',
    path: '/doctor',
    id: 'examine',
    summary: 'What is wrong, why, and what to do about it: what `tidemark doctor` prints',
    action: 'doctor',
    query: doctorQuery,
    answer: 'Examination',
    handle: async ({ app, query: { publisherAge = 10_000 }, veil }) => {
      const findings = await app.doctor.examine({ publisherAge })
      return examination(findings, await veil())
    },
  }),
  route({
    method: 'post',
    path: '/repair',
    id: 'repair',
    summary: 'Repair what needs no decision: what `tidemark doctor --fix` does',
    action: 'repair',
    body: emptyBody as never,
    answer: 'Repairs',
    handle: async ({ app }) => ({ repairs: withoutStacks(await app.repair()) }),
  }),
  route({
    method: 'get',
    path: '/outbox',
    id: 'getOutbox',
    summary: 'How large the outbox is, how far it is read, and who is publishing',
    action: 'overview',
    answer: 'Outbox',
    handle: async ({ app, veil }) => {
      const { open } = await veil()
      const publishers = await app.outbox.publishers()
      return {
        ...(await app.outbox.stats()),
        // A statement may hold values.
        publishers: publishers.map((one) => (open ? one : { ...one, query: null })),
      }
    },
  }),
  route({
    method: 'get',
    path: '/processes',
    id: 'listProcesses',
    summary: 'The processes that run listeners and jobs, and what each runs',
    action: 'processes',
    answer: 'Processes',
    handle: async ({ app }) => ({ processes: await app.processes.list() }),
  }),
  route({
    method: 'get',
    path: '/queues',
    id: 'listQueues',
    summary: 'The queues: limits, pauses and what there is to do',
    action: 'list',
    answer: 'Queues',
    handle: async ({ app }) => ({ queues: await app.jobs.groups('queue') }),
  }),
  route({
    method: 'get',
    path: '/job-types',
    id: 'listJobTypes',
    summary: 'The types of jobs: limits, pauses and what there is to do',
    action: 'list',
    answer: 'JobTypes',
    handle: async ({ app }) => ({ types: await app.jobs.groups('type') }),
  }),
  route({
    method: 'get',
    path: '/job-counts',
    id: 'countJobs',
    summary:
      'How many jobs are in which status, without those that have completed or were cancelled',
    action: 'list',
    answer: 'JobCounts',
    handle: async ({ app }) => ({
      counts: await app.jobs.openCounts(),
      retrying: await app.jobs.retryingCount(),
    }),
  }),
  route<JobCountQuery>({
    method: 'get',
    path: '/bulk-counts/{verb}',
    id: 'countBulk',
    summary:
      'To how many of the selected jobs something can be done now: exactly, of all or of the first 50,000 that are looked at',
    action: 'list',
    query: jobCountQuery,
    answer: 'BulkCount',
    // Nothing is done here, so nothing has to be named.
    handle: async ({ app, path, query, veil }) =>
      app.jobs.bulk.preview(bulkVerbIn(path), {
        ...((await selectionOf(query, veil)) as BulkSelection),
        all: true,
      }),
  }),
]

/** What the doctor has found, as a request may see it. The facts may hold statements and errors of others. */
function examination(findings: readonly Finding[], veil: Veil): object {
  return {
    ok: findings.every(({ status }) => status !== 'failed'),
    findings: findings.map((finding) => findingBody(finding, veil)),
  }
}

/** A finding as a request may see it. */
export function findingBody(finding: Finding, veil: Veil): object {
  return {
    ...finding,
    details: veil.open ? withoutStacks(finding.details) : null,
    actions: finding.actions.map((action) => ({ ...action, request: requestFor(action) })),
  }
}
