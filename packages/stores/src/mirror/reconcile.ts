import { isDeepStrictEqual } from 'node:util'
import { isTidemarkError, rejectUnknownOptions, type App, type JobView } from 'tidemark'
import type { BatchWrite } from '../contract/batch.ts'
import type { StateStore } from '../contract/state-store.ts'
import type { State } from '../contract/state.ts'
import {
  byRow,
  essentials,
  isFinal,
  openStatuses,
  stateOf,
  type MirroredJob,
} from './mirrored-job.ts'

/** What `sync` of a mirror does. */
export interface MirrorSyncOptions {
  /** Only looks, and changes nothing. Defaults to false. */
  readonly dryRun?: boolean
}

/** How a mirror differed from the table of jobs. */
export interface MirrorReport {
  /** How many jobs there are. */
  readonly jobs: number
  /** Ids of jobs that the mirror did not have. */
  readonly missing: readonly string[]
  /** Ids of jobs that were something else in the mirror. */
  readonly differing: readonly string[]
  /** Ids of unfinished jobs that the mirror has, and the table does not. */
  readonly extra: readonly string[]
  readonly written: number
  readonly removed: number
  /** Ids that could not be written. */
  readonly refused: readonly string[]
}

const page = 500
const uuid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/u

/**
 * Compares page by page, so that it takes no more memory for more jobs.
 *
 * INVARIANT: what is written from a row has, as its token, a sequence that was settled before the row was read. So the row
 * knows of every transition up to that one, and later ones are written over it by the listener.
 */
export async function reconcile(
  app: App,
  store: StateStore<MirroredJob>,
  retention: number,
  options: MirrorSyncOptions,
): Promise<MirrorReport> {
  rejectUnknownOptions('sync', options, ['dryRun'])
  const { dryRun = false } = options
  const report = { missing: [] as string[], differing: [] as string[], extra: [] as string[] }
  const refused: string[] = []
  let [jobs, written, removed] = [0, 0, 0]
  const { horizon: token } = await app.outbox.position()

  for (let after: string | undefined; ;) {
    const views = await app.jobs.list({ limit: page, ...(after === undefined ? {} : { after }) })
    if (views.length === 0) break
    jobs += views.length
    after = views.at(-1)?.id
    const found = await store.getMany(
      views.map(({ id }) => id),
      { onUnreadable: 'skip' },
    )
    const due: BatchWrite<MirroredJob>[] = []
    for (const [index, view] of views.entries()) {
      const write = mended(view, found[index], retention, report)
      if (write !== undefined) due.push({ ...write, token })
    }
    if (!dryRun) written += await carryOut(store, due, refused)
  }

  for (let after: string | undefined; ;) {
    const { states, unreadable, next } = await store.list({
      status: openStatuses,
      limit: page,
      onUnreadable: 'skip',
      ...(after === undefined ? {} : { after }),
    })
    const gone = await withoutRow(app, [...states, ...unreadable])
    report.extra.push(...gone.map(({ key }) => key))
    const due = gone.map(
      ({ key, version }) => ({ op: 'delete', key, ifVersion: version, token }) as const,
    )
    if (!dryRun) removed += await carryOut(store, due, refused)
    if (next === null) break
    after = next
  }
  return { jobs, ...report, written, removed, refused }
}

/** What makes a state of the mirror what its row says; undefined where it is. */
function mended(
  view: JobView,
  state: State<MirroredJob> | undefined,
  retention: number,
  report: { readonly missing: string[]; readonly differing: string[] },
): BatchWrite<MirroredJob> | undefined {
  const job = byRow(view, state?.value, retention)
  // Its time in the mirror is over, and the table keeps it for longer.
  if (isFinal(job.jobStatus) && (job.expiry?.getTime() ?? 0) <= Date.now()) return undefined
  if (state !== undefined && isDeepStrictEqual(essentials(job), essentials(state.value))) {
    return undefined
  }
  report[state === undefined ? 'missing' : 'differing'].push(view.id)
  return {
    op: 'put',
    key: view.id,
    state: stateOf(job),
    ...(state === undefined ? {} : { ifVersion: state.version }),
  }
}

/** What the mirror has of a job, whether or not its value can be read. */
type Found = Pick<State<MirroredJob>, 'key' | 'version'>

async function withoutRow(app: App, states: readonly Found[]): Promise<readonly Found[]> {
  const ids = states.map(({ key }) => key).filter((key) => uuid.test(key))
  if (ids.length === 0) return []
  const { result } = await app.transaction(async ({ query }) => {
    const { rows } = await query(
      `SELECT id::text FROM "${app.schema}".jobs WHERE id = ANY ($1::uuid[])`,
      [ids],
    )
    return new Set(rows.map(({ id }) => id as string))
  })
  return states.filter(({ key }) => uuid.test(key) && !result.has(key))
}

/** What is fenced or changed meanwhile, the listener has written: it is newer, and nothing to be mended. */
async function carryOut(
  store: StateStore<MirroredJob>,
  writes: readonly BatchWrite<MirroredJob>[],
  refused: string[],
): Promise<number> {
  if (writes.length === 0) return 0
  let made = 0
  for (const [index, outcome] of (await store.batch(writes)).entries()) {
    if (outcome.ok) made += 1
    else if (!isNewer(outcome.error)) refused.push((writes[index] as { key: string }).key)
  }
  return made
}

function isNewer(error: unknown): boolean {
  return (
    isTidemarkError(error, 'TIDEMARK_STATE_FENCED') ||
    isTidemarkError(error, 'TIDEMARK_STATE_CONFLICT') ||
    isTidemarkError(error, 'TIDEMARK_STATE_MISSING')
  )
}
