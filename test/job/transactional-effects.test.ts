import fc from 'fast-check'
import { defineEvent, defineJob, type Executor, type TransactionalJobContext } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { until, untilStatus } from '../support/jobs.ts'
import { LogBook } from '../support/log-book.ts'
import { appOn } from '../support/test-app.ts'

// What a transactional job says that it did, and what committed, are one thing; its neighbours in the batch don't notice.

const database = useFreshDatabase()

const write = 'insert into job_effects (job, effect) values ($1, $2)'
const noted = defineEvent('effects.noted', { payload: z.object({ effect: z.string() }) })
const followUp = defineJob('follow_up', { input: z.object({}), run: () => {} })

async function effectsOf(job: string): Promise<string[]> {
  const { rows } = await database.query('select effect from job_effects where job = $1', [job])
  return rows.map((row) => row['effect'] as string).toSorted()
}

async function createEffects(): Promise<void> {
  await database.query('create table job_effects (job text, effect text)')
}

/** The ways to want control over the transaction, however they are written. */
const controls = [
  'ROLLBACK',
  'commit',
  '  -- a comment\n COMMIT WORK;',
  '/* one /* in another */ */ END',
  'ABORT TRANSACTION',
  'begin',
  'START TRANSACTION READ ONLY',
  "PREPARE TRANSACTION 'mine'",
  "COMMIT PREPARED 'mine'",
  'select 1; commit; begin',
  "select '\\'; commit; begin; select '\\'",
  "select E'a'\n'\\'' ; commit; begin --'",
  'select $x$ ; $x$; rollback and chain',
  'RELEASE SAVEPOINT tidemark_1',
  'rollback to "tidemark_1"',
  'savepoint tidemark_2',
  'release U&"\\0074idemark_1"',
]

test.for(controls)(
  'a job that runs %j fails, whether it cares or not, and nothing of it commits',
  async (text) => {
    await createEffects()
    const controlling = defineJob('controlling', {
      input: z.object({ swallow: z.boolean() }),
      retry: { attempts: 1 },
      transact: async ({ id, input }, { tx }) => {
        await tx.query(write, [id, 'before'])
        const done = tx.query(text)
        if (input.swallow) await done.catch(() => {})
        else await done
        await tx.query(write, [id, 'after'])
      },
    })
    const innocent = defineJob('innocent', {
      input: z.object({}),
      retry: { attempts: 1 },
      transact: async ({ id }, { tx }) => {
        await tx.query(write, [id, 'only'])
      },
    })
    await using app = appOn(database, [controlling, innocent])
    const handles = [
      await app.jobs.spawn(innocent, {}),
      await app.jobs.spawn(controlling, { swallow: true }),
      await app.jobs.spawn(innocent, {}),
      await app.jobs.spawn(controlling, { swallow: false }),
      await app.jobs.spawn(innocent, {}),
    ]
    await app.start()
    await until(
      database,
      "select count(*)::int from tidemark.jobs where status in ('queued','running')",
      0,
    )
    for (const [index, { id }] of handles.entries()) {
      const { status, error } = await app.jobs.get(id)
      const isInnocent = index % 2 === 0
      const effects = await effectsOf(id)
      expect([status, error?.code, effects], error?.message).toEqual(
        isInnocent
          ? ['completed', undefined, ['only']]
          : ['failed', 'TIDEMARK_TRANSACTION_CONTROL', []],
      )
    }
  },
)

const allowed = [
  "select 'commit; rollback'",
  'select $$ ; commit; $$ as "begin"',
  'select 1 /* ; commit */; select 2 -- ; rollback',
  'do $do$ begin perform 1; exception when others then null; end $do$',
  'create function pg_temp.two() returns int begin atomic select 1; select 2; end',
  'prepare commit_later as select 1; execute commit_later; deallocate commit_later',
  'savepoint a; savepoint b; rollback to a; release a',
  'select case when true then 1 end',
]

test.for(allowed)('a job may run %j', async (text) => {
  const plain = defineJob('plain', {
    input: z.object({}),
    retry: { attempts: 1 },
    transact: (_, { tx }) => tx.query(text).then(() => 'done'),
  })
  await using app = appOn(database, [plain])
  await app.start()
  const handle = await app.jobs.spawn(plain, {})
  expect(await handle.result()).toBe('done')
})

test('what a job leaves behind when it has returned does not write, and is reported', async () => {
  await createEffects()
  const log = new LogBook()
  const gate = Promise.withResolvers<void>()
  const tried = Promise.withResolvers<void>()
  const forgetful = defineJob('forgetful', {
    input: z.object({}),
    transact: async ({ id }, { tx, spawn, publish }) => {
      await tx.query(write, [id, 'awaited'])
      void (async () => {
        await gate.promise
        setImmediate(() => tried.resolve())
        publish(noted({ effect: 'late' }))
        await Promise.all([tx.query(write, [id, 'late']), spawn(followUp, {})])
        throw new Error('nobody would see this, and Node would end the process')
      })()
    },
  })
  await using app = appOn(database, [forgetful, followUp, noted], { logger: log })
  await app.start()
  const { id } = await app.jobs.spawn(forgetful, {})
  await untilStatus(database, id, 'completed')
  gate.resolve()
  await tried.promise
  expect(await effectsOf(id)).toEqual(['awaited'])
  const told = log.entries.filter(({ message }) =>
    message.includes('after its handler had returned'),
  )
  expect(told.map(({ level }) => level)).toEqual(['error', 'error', 'error'])
})

type Deed =
  | { readonly do: 'write' | 'send' | 'float'; readonly effect: string }
  | {
      readonly do: 'fail'
      readonly how: 'thrown' | 'swallowed' | 'sent' | 'floated' | 'sent unsendable'
    }
  | { readonly do: 'control'; readonly text: string; readonly swallow: boolean }
  | {
      readonly do: 'savepoint'
      readonly deeds: readonly Deed[]
      readonly end: 'release' | 'leave' | 'rollback' | 'fail'
    }
  | {
      readonly do: 'spawn'
      readonly how: 'awaited' | 'floated' | 'refused' | 'invalid' | 'floated invalid'
    }
  | { readonly do: 'publish'; readonly effect: string }
  | { readonly do: 'late' | 'branch' | 'throw' }

const effect = fc.string({ minLength: 1, maxLength: 3, unit: 'grapheme-ascii' })

const { deeds } = fc.letrec<{ deed: Deed; deeds: Deed[] }>((tie) => ({
  deeds: fc.array(tie('deed'), { maxLength: 5 }),
  deed: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    {
      weight: 6,
      arbitrary: fc.record({
        do: fc.constantFrom('write' as const, 'send' as const, 'float' as const),
        effect,
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        do: fc.constant('fail' as const),
        how: fc.constantFrom('thrown', 'swallowed', 'sent', 'floated', 'sent unsendable'),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        do: fc.constant('control' as const),
        text: fc.constantFrom(...controls),
        swallow: fc.boolean(),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        do: fc.constant('savepoint' as const),
        deeds: tie('deeds'),
        end: fc.constantFrom('release', 'leave', 'rollback', 'fail'),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        do: fc.constant('spawn' as const),
        how: fc.constantFrom('awaited', 'floated', 'refused', 'invalid', 'floated invalid'),
      }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('publish' as const), effect }) },
    {
      weight: 1,
      arbitrary: fc.record({
        do: fc.constantFrom('late' as const, 'branch' as const, 'throw' as const),
      }),
    },
  ),
}))

/** What must be there of a job: nothing when it does not complete. */
class Model {
  effects: string[] = []
  events = 0
  spawned = 0
  /** Whether it can complete. */
  fit = true
  /** Whether Postgres takes nothing more. */
  broken = false

  run(list: readonly Deed[]): boolean {
    for (const deed of list) if (!this.#do(deed)) return false
    return true
  }

  /** Answers whether the handler goes on. */
  #do(deed: Deed): boolean {
    switch (deed.do) {
      case 'write':
        if (this.broken) return this.#fail()
        this.effects.push(deed.effect)
        return true
      case 'send':
      case 'float':
        if (this.broken) this.fit = false
        this.effects.push(deed.effect)
        return true
      case 'fail':
        if (deed.how === 'thrown') return this.#fail()
        if (deed.how !== 'swallowed') this.fit = false
        if (deed.how !== 'sent unsendable') this.broken = true
        return true
      case 'control':
        this.fit = false
        return deed.swallow
      case 'savepoint': {
        if (this.broken) return this.#fail()
        const before = this.effects.length
        if (!this.run(deed.deeds)) return false
        if (deed.end === 'release' || deed.end === 'leave') {
          return this.broken && deed.end === 'release' ? this.#fail() : true
        }
        this.broken = false
        this.effects.length = before
        return true
      }
      case 'spawn':
        if (deed.how === 'invalid') return this.#fail()
        if (deed.how === 'floated invalid') this.fit = false
        else if (deed.how !== 'refused') this.spawned += 1
        // The unique key is asked for at once.
        else if (this.broken) this.broken = true
        return true
      case 'publish':
        this.events += 1
        return true
      case 'branch':
      case 'late':
        return true
      case 'throw':
        return this.#fail()
      default:
        return deed satisfies never
    }
  }

  #fail(): false {
    this.fit = false
    return false
  }
}

// What is left alone writes. Whether it is cut off by the end of the handler is a matter of time: then the job fails.
const branch = 'branch'
const left: readonly string[] = [branch, 'late']
let savepoints = 0

/** Does what the deeds say. */
async function perform(
  id: string,
  list: readonly Deed[],
  ctx: TransactionalJobContext,
): Promise<void> {
  const { tx, send, spawn, publish } = ctx
  for (const deed of list) {
    switch (deed.do) {
      case 'write':
        await tx.query(write, [id, deed.effect])
        break
      case 'send':
        send(write, [id, deed.effect])
        break
      case 'float':
        void tx.query(write, [id, deed.effect])
        break
      case 'fail':
        await failing(tx, send, deed.how)
        break
      case 'control':
        if (deed.swallow) await tx.query(deed.text).catch(() => {})
        else await tx.query(deed.text)
        break
      case 'savepoint': {
        const name = `mine_${(savepoints += 1)}`
        await tx.query(`savepoint ${name}`)
        await perform(id, deed.deeds, ctx)
        if (deed.end === 'release') await tx.query(`release ${name}`)
        if (deed.end === 'fail') await tx.query('select 1 / 0').catch(() => {})
        if (deed.end === 'fail' || deed.end === 'rollback')
          await tx.query(`rollback to savepoint ${name}`)
        break
      }
      case 'spawn':
        if (deed.how === 'awaited') await spawn(followUp, {}, { triggeredBy: id })
        else if (deed.how === 'floated') void spawn(followUp, {}, { triggeredBy: id })
        else if (deed.how === 'refused')
          await spawn(followUp, {}, { uniqueKey: 'taken', onDuplicate: 'fail' }).catch(() => {})
        else if (deed.how === 'invalid') await spawn('follow_up', 'nonsense')
        else void spawn('follow_up', 'nonsense')
        break
      case 'publish':
        publish(noted({ effect: deed.effect }), { metadata: { job: id } })
        break
      case 'branch':
        void tx
          .query('select 1')
          .then(() => tx.query(write, [id, branch]))
          .catch(() => {})
        break
      case 'late':
        setImmediate(() =>
          setImmediate(() => setTimeout(() => void tx.query(write, [id, 'late']), 5)),
        )
        break
      case 'throw':
        throw new Error('thrown')
      default:
        deed satisfies never
    }
  }
}

async function failing(
  tx: Executor,
  send: TransactionalJobContext['send'],
  how: string,
): Promise<void> {
  const text = 'select 1 / 0'
  if (how === 'thrown') await tx.query(text)
  else if (how === 'swallowed') await tx.query(text).catch(() => {})
  else if (how === 'sent') send(text)
  else if (how === 'floated') void tx.query(text)
  else {
    // The driver cannot say this, so the server never hears of it.
    const itself: Record<string, unknown> = {}
    itself['itself'] = itself
    send('select $1::jsonb', [itself])
  }
}

test('whatever handlers do, each job has exactly the effects that its status says', async () => {
  await createEffects()
  const programs = new Map<number, readonly Deed[]>()
  const attempts = defineJob('random', {
    input: z.object({ program: z.number() }),
    retry: { attempts: 2, backoff: () => 0 },
    transact: ({ id, input }, ctx) => perform(id, programs.get(input.program) ?? [], ctx),
  })
  await using app = appOn(database, [attempts, followUp, noted])
  // Never runs, so its key stays taken; the others are counted before they run.
  await app.jobs.spawn(followUp, {}, { uniqueKey: 'taken', delay: '1h' })
  await app.start()
  let next = 0
  await fc.assert(
    fc.asyncProperty(fc.array(deeds, { minLength: 2, maxLength: 40 }), async (batch) => {
      const ids = new Map<string, readonly Deed[]>()
      await app.transaction(async (tx) => {
        for (const program of batch) {
          programs.set((next += 1), program)
          const { id } = await tx.spawn(attempts, { program: next })
          ids.set(id, program)
        }
      })
      await until(
        database,
        `select count(*)::int from tidemark.jobs where id = any ($1) and status not in ('completed', 'failed')`,
        0,
        [[...ids.keys()]],
      )
      for (const [id, program] of ids) {
        const model = new Model()
        model.run(program)
        if (model.broken) model.fit = false
        const { status, error } = await app.jobs.get(id)
        const { rows } = await database.query(
          `select (select count(*)::int from tidemark.events where metadata ->> 'job' = $1) as events,
             (select count(*)::int from tidemark.jobs where parent = $1::uuid) as spawned`,
          [id],
        )
        const effects = (await effectsOf(id)).filter((each) => !left.includes(each))
        const branched =
          left.some((each) => JSON.stringify(program).includes(`"${each}"`)) && status === 'failed'
        expect({ program, status, error: error?.message, effects, ...rows[0] }).toMatchObject(
          model.fit && !branched
            ? {
                status: 'completed',
                effects: model.effects.toSorted(),
                events: model.events,
                spawned: model.spawned,
              }
            : { status: 'failed', effects: [], events: 0, spawned: 0 },
        )
      }
    }),
    { numRuns: Number(process.env['TIDEMARK_RUNS'] ?? 40), endOnFailure: false },
  )
}, 120_000)

test.for(['job', 'application'] as const)(
  'the transaction of %s is not its function’s to end, and has all of its effects or none',
  async (whose) => {
    await createEffects()
    const outcomes = new Map<string, string>()
    const kinds: Readonly<Record<string, (tx: Executor) => Promise<void>>> = {
      plain: async (tx) => {
        await tx.query(write, ['plain', 'x'])
      },
      commits: async (tx) => {
        await tx.query(write, ['commits', 'x'])
        await tx.query('commit').catch(() => {})
      },
      swallows: async (tx) => {
        await tx.query(write, ['swallows', 'x'])
        await tx.query('select 1 / 0').catch(() => {})
      },
      recovers: async (tx) => {
        await tx.query('savepoint a')
        await tx.query('select 1 / 0').catch(() => {})
        await tx.query('rollback to a')
        await tx.query(write, ['recovers', 'x'])
      },
      floats: async (tx) => {
        void tx.query(write, ['floats', 'x'])
      },
      'floats and fails': async (tx) => {
        await tx.query(write, ['floats and fails', 'x'])
        void tx.query('select 1 / 0')
      },
    }
    const working = defineJob('working', {
      input: z.object({ kind: z.string() }),
      retry: { attempts: 1 },
      run: async ({ input: { kind } }, ctx) => {
        await ctx.transaction(async ({ tx, complete }) => {
          await kinds[kind]?.(tx)
          complete('in the transaction')
        })
      },
    })
    await using app = appOn(database, [working])
    await app.start()
    for (const [kind, work] of Object.entries(kinds)) {
      const result =
        whose === 'job'
          ? (await app.jobs.spawn(working, { kind })).result()
          : app.transaction((tx) => work({ query: (text, values) => tx.query(text, values) }))
      const done = await result.then(
        () => 'completed',
        () => 'failed',
      )
      outcomes.set(kind, `${done}, ${(await effectsOf(kind)).length}`)
    }
    expect(Object.fromEntries(outcomes)).toEqual({
      plain: 'completed, 1',
      commits: 'failed, 0',
      swallows: 'failed, 0',
      recovers: 'completed, 1',
      floats: 'completed, 1',
      'floats and fails': 'failed, 0',
    })
  },
)

test('a setting that a job makes for its transaction does not reach its neighbours', async () => {
  await database.query('create table tenants (job uuid, tenant text)')
  const setting = defineJob('setting', {
    input: z.object({ tenant: z.string() }),
    transact: async ({ id, input }, { tx }) => {
      if (input.tenant !== '') await tx.query(`set local app.tenant = '${input.tenant}'`)
      await tx.query(`insert into tenants values ($1, current_setting('app.tenant', true))`, [id])
    },
  })
  await using app = appOn(database, [setting])
  const wanted = new Map<string, string>()
  for (let n = 0; n < 60; n++) {
    const tenant = n % 9 === 4 ? `tenant ${n}` : ''
    wanted.set((await app.jobs.spawn(setting, { tenant })).id, tenant)
  }
  await app.start({ jobs: { concurrency: 2 } })
  for (const id of wanted.keys()) await untilStatus(database, id, 'completed')
  const { rows } = await database.query('select job, coalesce(tenant, $1) as tenant from tenants', [
    '',
  ])
  expect(new Map(rows.map((row) => [row['job'], row['tenant']]))).toEqual(wanted)
})

test('a table that changes under prepared statements costs no job an attempt, and no connection stays behind', async () => {
  await database.query('create table changing (a integer); insert into changing values (1)')
  const swallowed: unknown[] = []
  const reading = defineJob('reading', {
    input: z.object({ swallows: z.boolean() }),
    retry: { attempts: 1 },
    transact: async ({ input: { swallows } }, { tx }) => {
      await tx.query('savepoint mine')
      const answer = tx.query('select * from changing where a = $1', [1])
      if (swallows) await answer.catch(() => swallowed.push(tx.query('rollback to mine')))
      else await answer
    },
  })
  await using app = appOn(database, [reading])
  await app.start({ jobs: { concurrency: 4 } })
  const round = async (swallows: boolean): Promise<void> => {
    const handles = await Promise.all(
      Array.from({ length: 12 }, () => app.jobs.spawn(reading, { swallows })),
    )
    await Promise.all(handles.map((handle) => handle.result({ timeout: 20_000 })))
  }
  for (let time = 0; time < 5; time++) await round(false)
  for (const [column, swallows] of [
    ['b', false],
    ['c', true],
  ] as const) {
    await database.query(`alter table changing add column ${column} text`)
    await round(swallows)
    swallowed.length = 0
    for (let time = 0; time < 5; time++) await round(true)
    expect(swallowed).toEqual([])
  }
})
