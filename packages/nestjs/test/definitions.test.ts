import { Inject, Injectable, Module, Scope, type OnModuleInit } from '@nestjs/common'
import { REQUEST } from '@nestjs/core'
import { Test } from '@nestjs/testing'
import {
  Job,
  Listener,
  On,
  provideDefinitions,
  Tidemark,
  TidemarkModule,
  type JobRunnable,
  type TidemarkModuleOptions,
  type TidemarkOptionsFactory,
  tidemarkOf,
} from '@tidemark/nestjs'
import { drain, drainJobs } from '@tidemark/testing'
import { useTestDatabase } from '@tidemark/testing/vitest'
import {
  defineEvent,
  defineJob,
  defineListener,
  silentLogger,
  type EventOf,
  type JobDefinition,
} from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { nestOn, silent } from './support.ts'

const database = useTestDatabase()
const opened = defineEvent('accounts.opened', { payload: z.object({ id: z.string() }) })
const closed = defineEvent('accounts.closed', { payload: z.object({ id: z.string() }) })

@Injectable()
class Notes {
  readonly all: string[] = []
}

@Module({ providers: [Notes], exports: [Notes] })
class NotesModule {}

@Injectable()
@Listener('audit')
class Audit {
  constructor(private readonly notes: Notes) {}

  @On([opened, closed])
  async note(event: EventOf<typeof opened> | EventOf<typeof closed>): Promise<void> {
    this.notes.all.push(`${event.type} ${event.payload.id}`)
  }
}

test('a decorated class is a listener with its dependencies injected', async () => {
  await using nest = await nestOn(database, { imports: [NotesModule], providers: [Audit] })
  const tidemark = nest.module.get<Tidemark>(Tidemark)
  await tidemark.publish([opened({ id: 'a-1' }), closed({ id: 'a-1' })])
  await drain(tidemark)
  expect(nest.module.get(Notes, { strict: false }).all).toEqual([
    'accounts.opened a-1',
    'accounts.closed a-1',
  ])
})

test('definitions of a factory use providers, and can be injected themselves', async () => {
  const GREET = Symbol('greet')
  type Greet = JobDefinition<{ name: string }, string>

  @Injectable()
  class Reception {
    constructor(
      private readonly tidemark: Tidemark,
      @Inject(GREET) private readonly greet: Greet,
    ) {}

    async receive(name: string): Promise<string> {
      const handle = await this.tidemark.jobs.spawn(this.greet, { name })
      await drainJobs(this.tidemark)
      return handle.result()
    }
  }

  await using nest = await nestOn(database, {
    imports: [NotesModule],
    providers: [
      Reception,
      provideDefinitions({
        provide: GREET,
        inject: [Notes],
        useFactory: (notes: Notes) =>
          defineJob('greet', {
            input: z.object({ name: z.string() }),
            output: z.string(),
            run: ({ input }) => `Hello ${input.name}, after ${notes.all.length}`,
          }),
      }),
    ],
  })
  expect(await nest.module.get(Reception).receive('Ada')).toBe('Hello Ada, after 0')
})

test('forFeature takes values, namespaces and factories with the modules that they need', async () => {
  const told: string[] = []
  const value = defineListener('by.value').on(opened, (event) => {
    told.push(`value ${event.payload.id}`)
  })
  const namespace = {
    opened,
    closed,
    other: defineListener('of.a.namespace').on(opened, () => void told.push('namespace')),
  }
  const factory = {
    inject: [Notes],
    useFactory: (notes: Notes) =>
      defineListener('of.a.factory').on(opened, (event) => void notes.all.push(event.payload.id)),
  }
  const feature = TidemarkModule.forFeature([value, namespace, factory], { imports: [NotesModule] })
  await using nest = await nestOn(database, { imports: [feature] })
  const tidemark = tidemarkOf(nest.module)
  await tidemark.publish(opened({ id: 'a-2' }))
  await drain(tidemark)
  expect(told).toContain('value a-2')
  expect(told).toContain('namespace')
  expect(nest.module.get(Notes, { strict: false }).all).toContain('a-2')
})

test('a job is a method or a class that runs, and a provider of the request has an instance for each attempt', async () => {
  const instances = new Set<object>()

  @Injectable()
  @Job('by.class', { output: z.string() })
  class Whole implements JobRunnable<unknown, string> {
    run(): string {
      return 'run by a class'
    }
  }

  @Injectable({ scope: Scope.REQUEST })
  class PerRequest {
    constructor(@Inject(REQUEST) private readonly request: Job<{ n: number }>) {}

    @Job('by.method', { input: z.object({ n: z.number() }), output: z.number() })
    double(job: Job<{ n: number }>): number {
      instances.add(this)
      return this.request.id === job.id ? job.input.n * 2 : 0
    }
  }

  await using nest = await nestOn(database, { providers: [Whole, PerRequest] })
  const tidemark = tidemarkOf(nest.module)
  const handles = [
    await tidemark.jobs.spawn('by.class', {}),
    await tidemark.jobs.spawn('by.method', { n: 4 }),
    await tidemark.jobs.spawn('by.method', { n: 5 }),
  ]
  await drainJobs(tidemark)
  expect(await Promise.all(handles.map((handle) => handle.result()))).toEqual([
    'run by a class',
    8,
    10,
  ])
  expect(instances.size).toBe(2)
})

test('a class that only inherits a job does not make it again, and an overridden method is called', async () => {
  @Injectable()
  class Base {
    @Job('inherited', { output: z.string() })
    work(): string {
      return 'base'
    }
  }

  @Injectable()
  class Special extends Base {
    override work(): string {
      return 'special'
    }
  }

  await using nest = await nestOn(database, { providers: [Base, Special] })
  const tidemark = tidemarkOf(nest.module)
  const handle = await tidemark.jobs.spawn('inherited', {})
  await drainJobs(tidemark)
  expect(await handle.result()).toBe('base')
})

test('what comes after the application was used is refused: it would be missing without a word', async () => {
  @Injectable()
  class Hasty {
    constructor(tidemark: Tidemark) {
      void tidemark.jobs
    }
  }
  const hasty = Test.createTestingModule({
    imports: [TidemarkModule.forRoot({ connectionString: database.url, start: false })],
    providers: [
      Hasty,
      provideDefinitions({
        inject: [Hasty],
        useFactory: () => defineListener('late').on(opened, () => {}),
      }),
    ],
  }).setLogger(silent)
  await expect(hasty.compile()).rejects.toMatchObject({ code: 'TIDEMARK_TOO_EARLY' })
})

test('a method with @On in a class that is no listener is refused', async () => {
  @Injectable()
  class Stray {
    @On(opened)
    note(): void {}
  }
  await expect(nestOn(database, { providers: [Stray] })).rejects.toMatchObject({
    code: 'TIDEMARK_INVALID_OPTION',
  })
})

@Injectable()
class Config implements TidemarkOptionsFactory {
  createTidemarkOptions(): TidemarkModuleOptions {
    return { connectionString: database.url, logger: silentLogger, start: false }
  }
}

@Module({ providers: [Config], exports: [Config] })
class ConfigModule {}

test.each([
  [
    'a factory',
    {
      imports: [ConfigModule],
      inject: [Config],
      useFactory: (c: Config) => c.createTidemarkOptions(),
    },
  ],
  ['a class', { useClass: Config }],
  ['a provider', { imports: [ConfigModule], useExisting: Config }],
])('the options come from %s', async (_, options) => {
  @Injectable()
  class Early implements OnModuleInit {
    sequence: bigint | undefined
    constructor(private readonly tidemark: Tidemark) {}
    async onModuleInit(): Promise<void> {
      this.sequence = (await this.tidemark.publish(opened({ id: 'a-3' }))).sequence
    }
  }
  const module = await Test.createTestingModule({
    imports: [TidemarkModule.forRootAsync(options), TidemarkModule.forFeature([opened])],
    providers: [Early],
  }).compile()
  await module.init()
  expect(module.get(Early).sequence).toBeGreaterThan(0n)
  await module.close()
})

test('options that say nothing, or two things, are refused', () => {
  const invalid = expect.objectContaining({ code: 'TIDEMARK_INVALID_OPTION' })
  expect(() => TidemarkModule.forRootAsync({})).toThrow(invalid)
  const two = { useClass: Config, useExisting: Config }
  expect(() => TidemarkModule.forRootAsync(two)).toThrow(invalid)
  expect(() => TidemarkModule.forRootAsync({ useFactroy: () => ({}) } as never)).toThrow(invalid)
})
