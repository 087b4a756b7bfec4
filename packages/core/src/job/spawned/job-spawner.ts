import { run, type Executor, type PreparingExecutor } from '../../database/executor.ts'
import {
  findDuplicates,
  insertJobs,
  insertRequested,
  replaceJob,
} from '../../database/sql/job/job-spawn.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import type {
  SpawnedJob,
  Spawner,
  SpawnOptions,
  SpawnOrigin,
  SpawnTurn,
} from '../../listener/declared/spawning.ts'
import type { JobRegistry } from '../defined/job-registry.ts'
import { outgoingJob, type OutgoingJob } from './outgoing-job.ts'
import { otherRequest, requestedOnce } from './requested.ts'

// Bounds the size of one statement.
const mostAtOnce = 1000

/** A job that is there already. */
interface FoundJob {
  readonly id: string
  readonly name: string
  readonly request: string | null
  readonly sameType: boolean
}

/** How jobs are inserted: to follow others, or unless their request has come to another job. */
interface InsertOptions {
  readonly successor?: boolean
  readonly requested?: boolean
}

type Column = (job: OutgoingJob, successor: boolean) => unknown

const columns: readonly Column[] = [
  (job) => job.id,
  (job) => job.name,
  (job) => job.version,
  (job) => job.queue,
  (job) => job.priority,
  (job) => job.runAt,
  (job) => job.delay,
  (job) => job.input,
  (job) => job.inputMeta,
  (job) => job.uniqueKey,
  (job) => job.concurrencyKey,
  (job) => job.concurrencyLimit,
  (job) => job.triggeredBy,
  (job) => job.correlationId,
  (job) => job.causationId,
  (job) => job.traceparent,
  (job) => job.tracestate,
  (job) => job.parent,
  (job) => job.rateKey,
  (job) => job.lifecycle,
  (job) => job.context?.json ?? null,
  (job) => job.context?.meta ?? null,
  (_job, successor) => successor,
  (job) => job.request,
  (job) => job.names.join(','),
]

/** Checks jobs and inserts them into whatever transaction it is given. */
export class JobSpawner implements Spawner {
  readonly schema: string
  readonly registry: JobRegistry

  constructor(schema: string, registry: JobRegistry) {
    this.schema = schema
    this.registry = registry
  }

  /** @throws TidemarkError TIDEMARK_UNKNOWN_JOB_TYPE, TIDEMARK_INVALID_INPUT or TIDEMARK_INVALID_OPTION. */
  prepare(
    job: string | { readonly name: string },
    input: unknown,
    options: SpawnOptions | undefined,
    origin: SpawnOrigin,
  ): OutgoingJob {
    return outgoingJob(this.registry.require(job), input, options, origin)
  }

  /**
   * Jobs without a unique key or an id of the caller's are put off and inserted together; others at once, because only
   * the database knows which job the caller gets.
   *
   * INVARIANT: unique keys that are asked for together are inserted in their order: two transactions that want the
   * same ones wait for each other one way only.
   */
  turn(executor: Executor | PreparingExecutor, origin: SpawnOrigin): SpawnTurn {
    let waiting: OutgoingJob[] = []
    let together: { readonly job: OutgoingJob; readonly insert: () => Promise<void> }[] = []
    let inserted = Promise.resolve()
    const insertTogether = async (): Promise<void> => {
      const inOrder = together.toSorted((a, b) => (orderOf(a.job) < orderOf(b.job) ? -1 : 1))
      together = []
      for (const { insert } of inOrder) await insert()
    }
    const insertInOrder = (job: OutgoingJob): Promise<SpawnedJob> => {
      const { promise, resolve, reject } = Promise.withResolvers<SpawnedJob>()
      if (together.length === 0) inserted = inserted.then(insertTogether)
      const insert = (): Promise<void> => this.insertOne(executor, job).then(resolve, reject)
      together.push({ job, insert })
      return promise
    }
    const spawn = async (
      job: string | { readonly name: string },
      input: unknown,
      options?: SpawnOptions,
    ): Promise<SpawnedJob> => {
      const outgoing = this.prepare(job, input, options, origin)
      // Whether an id is taken, and by what, only the database knows, too.
      if (outgoing.uniqueKey !== null || options?.id !== undefined) return insertInOrder(outgoing)
      waiting.push(outgoing)
      return { id: outgoing.id, duplicate: false, outcome: 'spawned' }
    }
    const flush = async (): Promise<void> => {
      await inserted
      const jobs = waiting
      waiting = []
      await this.insert(executor, jobs)
    }
    return { spawn, flush }
  }

  /** Inserts jobs; answers the ids of those that were not there before. */
  async insert(
    executor: Executor | PreparingExecutor,
    jobs: readonly OutgoingJob[],
    { successor = false, requested = false }: InsertOptions = {},
  ): Promise<ReadonlySet<string>> {
    const inserted = new Set<string>()
    for (let start = 0; start < jobs.length; start += mostAtOnce) {
      const page = jobs.slice(start, start + mostAtOnce)
      const values = columns.map((column) => page.map((job) => column(job, successor)))
      const insertion = requested ? insertRequested : insertJobs
      const { rows } = await run(executor, insertion(this.schema), values)
      for (const row of rows) inserted.add(row['id'] as string)
    }
    return inserted
  }

  /**
   * @throws TidemarkError TIDEMARK_DUPLICATE_JOB when the policy is to fail, or the id is that of a job of another type;
   * TIDEMARK_REQUEST_CHANGED when another request has spawned it.
   */
  async insertOne(executor: Executor | PreparingExecutor, job: OutgoingJob): Promise<SpawnedJob> {
    if (job.request === null) return this.#insertOne(executor, job)
    const inserted = await this.insert(executor, [job], { requested: true })
    if (inserted.size === 1) return spawned(job)
    return requestedOnce(executor, this.schema, job, (within) => this.#insertOne(within, job))
  }

  async #insertOne(executor: Executor | PreparingExecutor, job: OutgoingJob): Promise<SpawnedJob> {
    for (let tries = 0; tries < 3; tries++) {
      if ((await this.insert(executor, [job])).size === 1) return spawned(job)
      const found = await this.#find(executor, job)
      const same = found.find(({ id }) => id === job.id)
      if (same?.sameType === false) throw otherType(job, same.name)
      if (same !== undefined && job.request !== null && same.request !== job.request) {
        throw otherRequest(job, job.id)
      }
      const [other] = found
      // It has ended since: try again.
      if (other === undefined) continue
      const kept = { id: other.id, duplicate: true, outcome: 'kept' } as const
      if (same !== undefined || job.onDuplicate === 'keep')
        return { ...kept, id: (same ?? other).id }
      if (job.onDuplicate === 'fail') throw duplicate(job, other.id)
      const replaced = await this.#replace(executor, job)
      if (replaced !== undefined) return replaced
    }
    // A snapshot that is older than the other job cannot say which one it is.
    throw duplicate(job, null)
  }

  /**
   * What has not begun becomes the job. What has begun is left alone: the job follows it, in the place of the one that
   * was to follow it. Undefined: what was there has ended since.
   */
  async #replace(
    executor: Executor | PreparingExecutor,
    job: OutgoingJob,
  ): Promise<SpawnedJob | undefined> {
    const replaced = await this.#become(executor, job, false)
    if (replaced !== undefined) return { id: replaced, duplicate: true, outcome: 'replaced' }
    if ((await this.insert(executor, [job], { successor: true })).size === 1) {
      return { id: job.id, duplicate: false, outcome: 'follows' }
    }
    const followed = await this.#become(executor, job, true)
    return followed === undefined
      ? undefined
      : { id: followed, duplicate: true, outcome: 'follows' }
  }

  async #become(
    executor: Executor | PreparingExecutor,
    job: OutgoingJob,
    successor: boolean,
  ): Promise<string | undefined> {
    const { rows } = await run(executor, replaceJob(this.schema), [
      ...columns.map((column) => [column(job, successor)]),
      successor,
      job.keepsTime,
      job.longest,
    ])
    return rows[0]?.['id'] as string | undefined
  }

  async #find(
    executor: Executor | PreparingExecutor,
    { id, uniqueKey, names }: OutgoingJob,
  ): Promise<readonly FoundJob[]> {
    const { rows } = await run(executor, findDuplicates(this.schema), [id, uniqueKey, names])
    return rows as unknown as FoundJob[]
  }
}

/** By unique key, and by type where two of them have the same. */
function orderOf({ uniqueKey, name }: OutgoingJob): string {
  return `${uniqueKey ?? ''} ${name}`
}

function spawned({ id }: OutgoingJob): SpawnedJob {
  return { id, duplicate: false, outcome: 'spawned' }
}

function duplicate({ name, uniqueKey }: OutgoingJob, id: string | null): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_DUPLICATE_JOB',
    `${name} was not spawned: an unfinished job (${id ?? 'not visible here'}) has the key "${uniqueKey}"`,
    { details: { name, uniqueKey, id } },
  )
}

function otherType({ id, name }: OutgoingJob, other: string): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_DUPLICATE_JOB',
    `${name} was not spawned: ${id} is the id of a job of another type, ${other}`,
    { hint: 'Ids are those of one job: make another one.', details: { name, id, other } },
  )
}
