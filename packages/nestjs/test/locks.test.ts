import { Inject, Injectable, Scope } from '@nestjs/common'
import { REQUEST } from '@nestjs/core'
import { DistributedLock, heldLock, Job, Scheduled, tidemarkOf } from '@tidemark/nestjs'
import { drainJobs } from '@tidemark/testing'
import { useTestDatabase } from '@tidemark/testing/vitest'
import type { LockStore } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { nestOn } from './support.ts'

const database = useTestDatabase()

@Injectable()
class Reports {
  readonly written: string[] = []

  @DistributedLock((day: string) => `report ${day}`, { ttl: '5s' })
  async write(day: string, during?: () => Promise<void>): Promise<string> {
    await during?.()
    this.written.push(day)
    return `${day} under ${heldLock()?.key}`
  }
}

test('a held lock is skipped with a warning, one of another key is not', async () => {
  await using nest = await nestOn(database, { providers: [Reports] })
  const reports = nest.module.get(Reports)
  const first = await reports.write('monday', async () => {
    expect(await reports.write('monday')).toBeUndefined()
    expect(await reports.write('tuesday')).toBe('tuesday under report tuesday')
  })
  expect(first).toBe('monday under report monday')
  expect(heldLock()).toBeUndefined()
  expect(reports.written).toEqual(['tuesday', 'monday'])
  expect(nest.log).toEqual(['warn: skipped: another holds the lock "report monday"'])
})

test('each application of a process takes its own locks', async () => {
  await using one = await nestOn(database, { providers: [Reports] })
  await using two = await nestOn(database, { providers: [Reports] })
  await one.module.get(Reports).write('monday', async () => {
    expect(await two.module.get(Reports).write('monday')).toBeUndefined()
  })
  expect([one.log, two.log]).toEqual([
    [],
    ['warn: skipped: another holds the lock "report monday"'],
  ])
})

test('a lock stands with other decorators, before and after them, and in providers of a request', async () => {
  const held: unknown[] = []

  @Injectable({ scope: Scope.REQUEST })
  class Work {
    constructor(@Inject(REQUEST) readonly request: Job<unknown>) {}

    @Job('lock.beneath')
    @DistributedLock('beneath')
    async beneath(): Promise<void> {
      held.push(heldLock()?.key)
    }

    @DistributedLock('above')
    @Scheduled('lock.above', { cron: '@yearly', retry: { attempts: 1 } })
    async above(): Promise<void> {
      held.push(heldLock()?.key)
    }
  }
  await using nest = await nestOn(database, { providers: [Work] })
  const tidemark = tidemarkOf(nest.module)
  await tidemark.jobs.spawn('lock.beneath', {})
  await drainJobs(tidemark)
  await tidemark.jobs.schedules.run('lock.above')
  await drainJobs(tidemark)
  expect(held).toEqual(['beneath', 'above'])
})

test('a lock is kept in another store, and a lost one is an error', async () => {
  const store: LockStore = {
    name: 'made',
    acquire: async () => 1n,
    renew: async () => false,
    release: async () => {},
  }

  @Injectable()
  class Work {
    @DistributedLock('lost', { ttl: 300, store })
    async work(): Promise<void> {
      await new Promise((resolve) => heldLock()?.signal.addEventListener('abort', resolve))
    }
  }
  await using nest = await nestOn(database, { providers: [Work] })
  await expect(nest.module.get(Work).work()).rejects.toMatchObject({ code: 'TIDEMARK_LOCK_LOST' })
})

test('standard decorators say the same: they are given the method and what it is', async () => {
  class Work {
    async locked(): Promise<unknown> {
      return heldLock()?.key
    }

    async job({ input }: Job<{ n: number }>): Promise<number> {
      return input.n + 1
    }
  }
  // What a compiler makes of `@DistributedLock('standard')` and `@Job('standard', …)` without `experimentalDecorators`.
  const context = (name: string) => ({ kind: 'method', name }) as ClassMethodDecoratorContext
  const { prototype } = Work
  // oxlint-disable-next-line typescript/unbound-method -- a decorator is given the method
  prototype.locked = DistributedLock('standard')(prototype.locked, context('locked'))
  const input = z.object({ n: z.number() })
  // oxlint-disable-next-line typescript/unbound-method -- a decorator is given the method
  Job('standard', { input, output: z.number() })(prototype.job, context('job'))
  Injectable()(Work)

  await using nest = await nestOn(database, { providers: [Work] })
  expect(await nest.module.get(Work).locked()).toBe('standard')
  const handle = await tidemarkOf(nest.module).jobs.spawn('standard', { n: 1 })
  await drainJobs(tidemarkOf(nest.module))
  expect(await handle.result()).toBe(2)
})
