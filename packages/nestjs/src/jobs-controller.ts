import {
  BadRequestException,
  Body,
  ConflictException,
  Get,
  HttpCode,
  Inject,
  NotFoundException,
  Param,
  Post,
  Query,
  Req,
  Res,
} from '@nestjs/common'
import { isTidemarkError, type App, type JobAttempt, type JobView } from 'tidemark'
import { Tidemark } from './tidemark.ts'

/** A request of Express or Fastify, as far as it is needed here. */
export interface RunRequest {
  readonly url: string
  readonly originalUrl?: string
  /** Whoever was let in by a guard. */
  readonly user?: unknown
}

/** A run of a job, as the controller answers it. */
export interface JobRun {
  readonly id: string
  readonly name: string
  readonly status: string
  readonly triggeredBy: string
  readonly attempt: number
  readonly createdAt: Date
  readonly startedAt: Date | null
  readonly finishedAt: Date | null
  /** From its first start to its end, in milliseconds; null: it has not finished. */
  readonly duration: number | null
  readonly output: unknown
  readonly error: { readonly name: string; readonly message: string; readonly code?: string } | null
}

/** An attempt of a run, as the controller answers it. */
export type JobRunAttempt = Pick<
  JobAttempt,
  'attempt' | 'outcome' | 'triggeredBy' | 'startedAt' | 'finishedAt' | 'duration'
>

/**
 * Jobs to be run by hand, over HTTP. It has no route until a controller of yours extends it, with the path and the guards
 * that say who may:
 *
 * | request               | answer                                                                                      |
 * | --------------------- | ------------------------------------------------------------------------------------------- |
 * | `GET /`               | the types of jobs, with the JSON Schemas of what they take                                  |
 * | `POST /:name/runs`    | 202 at once, with the place of the run in `Location`; the body is the input, as JSON         |
 * | `GET /:name/runs`     | the runs of a type, newest first, whoever triggered them; `?after=<id>&limit=<n>`            |
 * | `GET /:name/runs/:id` | one, with its status, its output or error, and its attempts: ask until it has `finishedAt`   |
 *
 * @example
 * ```ts
 * import { Controller, UseGuards } from '@nestjs/common'
 * import { JobsController } from '@tidemark/nestjs'
 *
 * declare class OperatorGuard {
 *   canActivate(): boolean
 * }
 *
 * @Controller('admin/jobs')
 * @UseGuards(OperatorGuard)
 * export class AdminJobsController extends JobsController {}
 * ```
 */
export class JobsController {
  declare protected readonly tidemark: App

  /** Who triggers a run. Defaults to what the user of the request is called (`id`, `sub`, `username`, `email`), or `'http'`. */
  protected triggeredBy(request: RunRequest): string {
    const user = request.user as Readonly<Record<string, unknown>> | string | null | undefined
    if (typeof user === 'string' && user !== '') return user
    const fields = typeof user === 'object' && user !== null ? user : {}
    for (const field of ['id', 'sub', 'username', 'email']) {
      const value = fields[field]
      if (typeof value === 'number') return String(value)
      if (typeof value === 'string' && value !== '') return value
    }
    return 'http'
  }

  types(): unknown {
    return this.tidemark.jobs
      .defined()
      .map(({ name, version, input }) => ({ name, version, input }))
  }

  async start(
    name: string,
    body: unknown,
    request: RunRequest,
    response: { header(name: string, value: string): unknown },
  ): Promise<JobRun> {
    const options = { triggeredBy: this.triggeredBy(request) }
    // What asks for nothing has no body, and some parsers make an empty object of that.
    const input = body === undefined ? {} : body
    const { id } = await answered(() => this.tidemark.jobs.spawnJson(name, input, options))
    const [path = ''] = (request.originalUrl ?? request.url).split('?')
    response.header('Location', `${path.replace(/\/+$/u, '')}/${id}`)
    return runOf(await answered(() => this.tidemark.jobs.get(id)))
  }

  async list(name: string, after?: string, limit?: string): Promise<{ readonly runs: JobRun[] }> {
    const known = this.tidemark.jobs.defined().some((job) => job.name === name)
    if (!known) throw new NotFoundException(`no job is named "${name}"`)
    const runs = await answered(() =>
      this.tidemark.jobs.list({
        name,
        ...(after === undefined ? {} : { after }),
        ...(limit === undefined ? {} : { limit: Number(limit) }),
      }),
    )
    return { runs: runs.map(runOf) }
  }

  async find(
    name: string,
    id: string,
  ): Promise<JobRun & { readonly attempts: readonly JobRunAttempt[] }> {
    const job = await answered(() => this.tidemark.jobs.get(id))
    if (job.name !== name) throw new NotFoundException(`no job ${id} is named "${name}"`)
    const attempts = await answered(() => this.tidemark.jobs.attempts(id))
    return { ...runOf(job), attempts: attempts.map(attemptOf) }
  }
}

function runOf(job: JobView): JobRun {
  const { id, name, status, triggeredBy, attempt, createdAt, startedAt, finishedAt, error } = job
  const duration =
    startedAt === null || finishedAt === null ? null : finishedAt.getTime() - startedAt.getTime()
  const { message, code } = error ?? { message: '' }
  // Without the stack: where the code lies is nobody's business.
  const told =
    error === null
      ? null
      : { name: error.name, message, ...(typeof code === 'string' ? { code } : {}) }
  const times = { createdAt, startedAt, finishedAt, duration }
  return {
    id,
    name,
    status,
    triggeredBy,
    attempt,
    ...times,
    output: plain(job.output),
    error: told,
  }
}

function attemptOf(of: JobAttempt): JobRunAttempt {
  const { attempt, outcome, triggeredBy, startedAt, finishedAt, duration } = of
  return { attempt, outcome, triggeredBy, startedAt, finishedAt, duration }
}

/** What JSON has no word for: a bigint is a text, a Set an array and a Map its entries. */
function plain(value: unknown): unknown {
  if (value === undefined) return null
  const json = JSON.stringify(value, (_, item: unknown) => {
    if (typeof item === 'bigint') return String(item)
    return item instanceof Set || item instanceof Map ? [...item] : item
  }) as string | undefined
  return json === undefined ? null : (JSON.parse(json) as unknown)
}

/** Says in HTTP what Tidemark has refused. */
async function answered<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!isTidemarkError(error)) throw error
    const { code, message, details } = error
    const options = { cause: error }
    switch (code) {
      case 'TIDEMARK_UNKNOWN_JOB':
      case 'TIDEMARK_UNKNOWN_JOB_TYPE':
        throw new NotFoundException({ code, message }, options)
      case 'TIDEMARK_INVALID_INPUT':
        throw new BadRequestException({ code, message, details }, options)
      case 'TIDEMARK_INVALID_OPTION':
      case 'TIDEMARK_PAYLOAD_NOT_STORABLE':
        throw new BadRequestException({ code, message }, options)
      case 'TIDEMARK_DUPLICATE_JOB':
        throw new ConflictException({ code, message, details }, options)
      default:
        throw error
    }
  }
}

// What decorators would say, in plain calls: Node runs the sources of this package as they are.
const routes = JobsController.prototype
Inject(Tidemark)(routes, 'tidemark')
route('types', Get(), HttpCode(200))
route('start', Post(':name/runs'), HttpCode(202))
parameters('start', Param('name'), Body(), Req(), Res({ passthrough: true }))
route('list', Get(':name/runs'))
parameters('list', Param('name'), Query('after'), Query('limit'))
route('find', Get(':name/runs/:id'))
parameters('find', Param('name'), Param('id'))

function route(name: keyof JobsController, ...decorators: readonly MethodDecorator[]): void {
  const descriptor = Object.getOwnPropertyDescriptor(routes, name) as PropertyDescriptor
  for (const decorate of decorators) decorate(routes, name, descriptor)
}

function parameters(
  name: keyof JobsController,
  ...decorators: readonly ParameterDecorator[]
): void {
  for (const [index, decorate] of decorators.entries()) decorate(routes, name, index)
}
