import { setTimeout as pause } from 'node:timers/promises'
import {
  Catch,
  Injectable,
  Module,
  UseFilters,
  type ArgumentsHost,
  type ExceptionFilter,
  type OnModuleDestroy,
} from '@nestjs/common'
import { APP_FILTER } from '@nestjs/core'
import { Job, Listener, On, Scheduled, tidemarkOf } from '@tidemark/nestjs'
import { drainJobs } from '@tidemark/testing'
import { useTestDatabase } from '@tidemark/testing/vitest'
import { defineEvent, type JobResult } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { nestOn } from './support.ts'

const database = useTestDatabase()
const once = { retry: { attempts: 1 } }

class RateLimited extends Error {}

/** Keeps what it sees, and answers as if all were well. */
@Catch(RateLimited)
class Content implements ExceptionFilter {
  readonly seen: unknown[] = []

  catch(error: unknown, host: ArgumentsHost): string {
    const [job] = host.getArgs<[{ name: string }]>()
    this.seen.push([error, host.getType(), job.name])
    return 'all is well'
  }
}

test('a filter of the application sees what a job throws, by its class, and cannot make it a success', async () => {
  @Injectable()
  class Work {
    @Job('limited', once)
    limited(): never {
      throw new RateLimited('slow down')
    }

    @Job('other', once)
    other(): never {
      throw new Error('something else')
    }
  }
  const filter = new Content()
  const providers = [Work, { provide: APP_FILTER, useValue: filter }]
  await using nest = await nestOn(database, { providers })
  const tidemark = tidemarkOf(nest.module)
  const handles = [await tidemark.jobs.spawn('limited', {}), await tidemark.jobs.spawn('other', {})]
  await drainJobs(tidemark)
  for (const handle of handles) expect((await tidemark.jobs.get(handle.id)).status).toBe('failed')
  expect(filter.seen).toEqual([[new RateLimited('slow down'), 'tidemark', 'limited']])
})

test('filters of a method see what it throws; one that fails itself is named in the log', async () => {
  const seen: unknown[] = []

  @Catch()
  class OfTheMethod implements ExceptionFilter {
    catch(error: unknown, host: ArgumentsHost): void {
      seen.push(error)
      // As a filter does that thinks of nothing but requests.
      host.switchToHttp().getResponse<{ status(code: number): void }>().status(500)
    }
  }

  @Injectable()
  class Work {
    @Job('filtered', once)
    @UseFilters(OfTheMethod)
    work(): never {
      throw new RateLimited('slow down')
    }
  }
  await using nest = await nestOn(database, { providers: [Work] })
  const tidemark = tidemarkOf(nest.module)
  const handle = await tidemark.jobs.spawn('filtered', {})
  await drainJobs(tidemark)
  await expect(handle.result()).rejects.toMatchObject({ code: 'TIDEMARK_JOB_FAILED' })
  expect(seen).toEqual([new RateLimited('slow down')])
  expect(nest.log).toContain(
    'warn: an exception filter threw something else than what Work.work failed with',
  )
})

test('a listener that fails reaches the filter, too', async () => {
  const opened = defineEvent('failures.opened', { payload: z.object({ id: z.string() }) })

  @Injectable()
  @Listener('fails', { retry: { attempts: 1 }, onFailure: 'skip' })
  class Fails {
    @On(opened)
    async fail(): Promise<never> {
      throw new RateLimited('slow down')
    }
  }
  const seen: unknown[] = []
  const filter: ExceptionFilter = { catch: (error) => void seen.push(error) }
  Catch()(filter.constructor as never)
  await using nest = await nestOn(database, {
    providers: [Fails, { provide: APP_FILTER, useValue: filter }],
  })
  const tidemark = tidemarkOf(nest.module)
  await tidemark.publish(opened({ id: 'a-1' }))
  await drainJobs(tidemark)
  expect(seen[0]).toEqual(new RateLimited('slow down'))
})

test('a run that has failed fails the schedule that answers it, and one that succeeded is its output', async () => {
  @Injectable()
  class Work {
    fails = true

    @Scheduled('nightly', { cron: '0 3 * * *', ...once })
    nightly(): Promise<JobResult<number>> {
      return Job.run(
        'inner',
        () => {
          if (this.fails) throw new RateLimited('slow down')
          return 42
        },
        { logger: { debug() {}, info() {}, warn() {}, error() {} } },
      )
    }
  }
  await using nest = await nestOn(database, { providers: [Work] })
  const { jobs } = tidemarkOf(nest.module)
  const failed = await jobs.schedules.run('nightly', { triggeredBy: 'ada' })
  await drainJobs(tidemarkOf(nest.module))
  expect(await jobs.get(failed.id)).toMatchObject({
    status: 'failed',
    error: { message: 'slow down' },
    triggeredBy: 'ada',
  })
  nest.module.get(Work).fails = false
  const succeeded = await jobs.schedules.run('nightly')
  await drainJobs(tidemarkOf(nest.module))
  expect(await jobs.get(succeeded.id)).toMatchObject({ status: 'completed', output: 42 })
})

test('at shutdown jobs finish before the services are destroyed that they use', async () => {
  const began = Promise.withResolvers<void>()
  const goOn = Promise.withResolvers<void>()
  const order: string[] = []

  @Injectable()
  class Connection implements OnModuleDestroy {
    onModuleDestroy(): void {
      order.push('connection closed')
    }
  }

  @Injectable()
  class Work {
    constructor(private readonly connection: Connection) {}

    @Job('slow', once)
    async slow(): Promise<void> {
      began.resolve()
      await goOn.promise
      order.push(this.connection instanceof Connection ? 'job finished' : 'nothing injected')
    }
  }

  @Module({ providers: [Connection, Work] })
  class WorkModule {}

  const nest = await nestOn(database, { imports: [WorkModule] }, { start: true })
  const tidemark = tidemarkOf(nest.module)
  const handle = await tidemark.jobs.spawn('slow', {})
  await began.promise
  const closing = nest.module.close()
  // Whoever does not wait for the job closes the connection in this turn.
  await pause(0)
  goOn.resolve()
  await closing
  expect(order).toEqual(['job finished', 'connection closed'])
  const { rows } = await database.query(
    `select status from tidemark.jobs where id = '${handle.id}'`,
  )
  expect(rows).toEqual([{ status: 'completed' }])
})
