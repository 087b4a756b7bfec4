import type { MutantGroup } from '../mutant.ts'

const tail = 'packages/core/src/outbox/read/tail.ts'
const notifications = 'packages/core/src/outbox/woken/notifications.ts'
const lost = 'test/doorbell/lost-notification.test.ts'
const fullQueue = 'test/doorbell/full-queue.test.ts'
const madeDeaf =
  'a process that a full queue of notifications has made deaf looks all the same, and hears when there is room'
const whoArms = 'test/doorbell/who-arms.test.ts'

/** G6: a lost notification costs delay, never an event. */
export const doorbell: MutantGroup = {
  guarantee: 'G6 A lost notification costs delay, never an event',
  mutants: [
    {
      breaks: 'a process that sleeps looks only when it is rung',
      edits: [
        {
          file: tail,
          find: 'expecting = await this.#doorbell.wait(this.#safetyPoll, signal)',
          replace: 'expecting = await this.#doorbell.wait(3_600_000, signal)',
        },
      ],
      tests: {
        [lost]: ['a notification that is lost costs delay and no event: polling delivers it'],
      },
    },
    {
      breaks: 'a process that does not hear sleeps',
      edits: [
        {
          file: tail,
          find: 'await this.#doorbell.wait(this.#deafPoll, signal)',
          replace: 'await this.#doorbell.wait(3_600_000, signal)',
        },
      ],
      tests: { [lost]: ['a process whose doorbell is disabled polls'] },
    },
    {
      breaks: 'a full queue of notifications stays so',
      edits: [
        {
          file: notifications,
          find: 'if (errorCodeOf(failure) === queueFull) await this.#askForRoom()',
          replace: 'if (errorCodeOf(failure) === queueFull) await wait(0, signal)',
        },
      ],
      tests: { [fullQueue]: [madeDeaf] },
    },
    {
      breaks: 'a process that was made deaf looks as seldom as one that hears',
      edits: [
        { file: tail, find: 'const longestDeaf = 250', replace: 'const longestDeaf = 600_000' },
      ],
      tests: { [fullQueue]: [madeDeaf] },
    },
    {
      breaks: 'a process goes to sleep without having armed',
      edits: [
        { file: tail, find: 'const { armed } = this.#doorbell', replace: 'const armed = true' },
      ],
      tests: {
        [lost]: [
          'an event that is published while the process goes to sleep wakes it: it arms before it looks',
        ],
      },
    },
    {
      breaks: 'a notification of somebody else ends the ear',
      edits: [
        {
          file: notifications,
          find: `else if (typeof payload !== 'string' || !payload.startsWith('ping ')) this.#options.onRing()`,
          replace: `else if (payload === '') this.#options.onRing()
      else trouble.reject(new Error('a foreign payload'))`,
        },
      ],
      tests: { [lost]: ['a channel that is flooded with foreign payloads hurts nobody'] },
    },
    {
      breaks: 'an ear that was lost is not replaced',
      edits: [
        {
          file: notifications,
          find: 'await wait(this.#backoff * (0.5 + Math.random()), signal)',
          replace: 'await wait(3_600_000, signal)',
        },
      ],
      tests: {
        [lost]: [
          'a killed LISTEN connection is replaced, and what was published meanwhile is handled',
        ],
      },
    },
    {
      breaks: 'the ear does not prove that it hears',
      edits: [
        {
          file: notifications,
          find: 'await Promise.race([wait(pingInterval, signal), trouble.promise])',
          replace: 'await Promise.race([wait(3_600_000, signal), trouble.promise])',
        },
      ],
      tests: { [lost]: ['a half-open LISTEN connection is found deaf and replaced'] },
    },
    {
      breaks: 'publishers look at the doorbells through their snapshot',
      edits: [
        {
          file: 'migrations/0001-outbox.sql',
          find: `CASE pg_sequence_last_value(':"schema".armed'::regclass) WHEN 0 THEN false ELSE`,
          replace:
            'CASE WHEN NOT EXISTS (SELECT FROM :"schema".doorbells WHERE armed) THEN false ELSE',
        },
      ],
      tests: {
        'test/ordering/publishers.test.ts': [
          'a ${isolation} publisher whose snapshot is older than the sleep rings all the same',
        ],
      },
    },
    {
      breaks: 'a process without partitions follows the outbox',
      edits: [
        {
          file: 'packages/core/src/runtime/runner/partitions.ts',
          find: '    if (wanted.length === 0) return\n',
          replace: '    await prepare()\n    if (wanted.length === 0) return\n',
        },
        {
          file: 'packages/core/src/runtime/runner/session.ts',
          find: 'await follower.pause()\n          horizonWatch.forget()',
          replace: 'horizonWatch.forget()',
        },
      ],
      tests: {
        [whoArms]: [
          'a standby without leases does not make publishers ring for it, until it takes over',
        ],
      },
    },
    {
      breaks: 'the doorbells of the dead stay',
      edits: [
        {
          file: 'packages/core/src/database/sql/outbox/doorbell.ts',
          find: 'WHERE NOT EXISTS (SELECT FROM ${schema}.processes p WHERE p.id = d.process)`',
          replace: 'WHERE false`',
        },
      ],
      tests: {
        [whoArms]: [
          'the doorbell of a process that is killed costs a ring, and is swept when it is known to be dead',
        ],
      },
    },
    {
      breaks: 'a process that is woken too often goes on being rung',
      edits: [
        {
          file: 'packages/core/src/outbox/woken/wake-ups.ts',
          find: 'this.#tooMany = true',
          replace: 'this.#tooMany = false',
        },
      ],
      tests: {
        [whoArms]: [
          'publishers stop ringing for a process that is woken too often, and ring again when the rush is over',
        ],
      },
    },
    {
      breaks: 'a ring carries 8,000 bytes',
      edits: [
        {
          file: 'migrations/0001-outbox.sql',
          find: `PERFORM pg_notify(:'channel', what);`,
          replace: `PERFORM pg_notify(:'channel', repeat('x', 8000));`,
        },
      ],
      tests: {
        [lost]: [
          'an event with a payload of 8,000 bytes rings like any other: the notification carries nothing',
        ],
      },
    },
    {
      breaks: 'a process listens through the pooler',
      edits: [
        {
          file: 'packages/core/src/database/pool.ts',
          find: 'elsewhere === undefined ? options : { ...options, connectionString: elsewhere },',
          replace: 'elsewhere === undefined ? options : { ...options },',
        },
      ],
      tests: {
        'test/compatibility/pg-bouncer.test.ts': [
          'the story holds through PgBouncer in transaction mode, for everything but LISTEN',
        ],
      },
    },
  ],
}
