import { hostname } from 'node:os'
import { run } from '../../database/executor.ts'
import type { Database } from '../../database/pool.ts'
import { beat, registerProcess, removeProcess } from '../../database/sql/listener/processes.ts'
import type { ScheduleDefinition } from '../../job/defined/define-schedule.ts'
import type { JobRegistry } from '../../job/defined/job-registry.ts'
import type { HeldLease } from '../../listener/leased/lease.ts'
import { stateTypeOf, type Consumer } from '../../listener/read/consumer.ts'
import type { VitalSigns } from './vital-signs.ts'

/** What a process says of itself to the others. */
export interface PresenceEnvironment {
  readonly database: Database
  readonly schema: string
  /** The identity of the process. */
  readonly process: string
  readonly consumers: readonly Consumer[]
  readonly vitals: VitalSigns
  /** The jobs and schedules that it runs; undefined when it runs none. */
  readonly jobs:
    | { readonly registry: JobRegistry; readonly schedules: readonly ScheduleDefinition[] }
    | undefined
}

/** What the database knows of a process that has given a sign of life. */
export interface Known {
  /** The leases that it still has. */
  readonly held: readonly HeldLease[]
  /** Whether publishers ring for it. */
  readonly armed: boolean
  /** Whether spawners of jobs do. */
  readonly jobsArmed: boolean
}

/** The row of a process among those that run the application: that it lives, and what it runs. */
export class Presence {
  readonly #environment: PresenceEnvironment

  constructor(environment: PresenceEnvironment) {
    this.#environment = environment
  }

  /** Says that the process lives, what it runs and how it is: at its start. */
  async show(): Promise<void> {
    const { database, schema, process: id, vitals } = this.#environment
    const asked = Date.now()
    const { rows } = await run(database, registerProcess(schema), [
      id,
      hostname(),
      process.pid,
      'tidemark',
      JSON.stringify(this.#definitions()),
      JSON.stringify(vitals.measure()),
    ])
    vitals.compare(asked, rows[0]?.['now'] as number, Date.now())
  }

  /**
   * Says that the process still lives and how it is, and renews its leases; one that was taken for dead meanwhile
   * says what it runs once more.
   *
   * @param duration - of the leases, in milliseconds; null: they are not renewed, because what is renewed is run.
   */
  async beat(duration: number | null): Promise<Known> {
    const { database, schema, process: id, vitals } = this.#environment
    const asked = Date.now()
    const { rows } = await run(database, beat(schema), [
      id,
      JSON.stringify(vitals.measure()),
      duration,
    ])
    const answer = rows[0] as unknown as Known & { readonly now: number; readonly known: boolean }
    vitals.compare(asked, answer.now, Date.now())
    if (!answer.known) await this.show()
    return answer
  }

  /** Signs off. */
  async end(): Promise<void> {
    const { database, schema, process: id, vitals } = this.#environment
    vitals.end()
    await run(database, removeProcess(schema), [id])
  }

  #definitions(): object[] {
    const { consumers, jobs } = this.#environment
    const listeners = consumers.map((consumer) => {
      const { name, kind, version, types } = consumer
      return { name, kind, version, types: [...types], versions: versionsOf(consumer) }
    })
    if (jobs === undefined) return listeners
    const schedules = jobs.schedules.map(
      ({ name, kind, version, job, cron, timeZone, overlap, catchUp }) => {
        return { name, kind, version, job: job.name, cron, timeZone, overlap, catchUp }
      },
    )
    return [...listeners, ...jobs.registry.publish(), ...schedules]
  }
}

/** The version of each stored type that its definitions know, and that of its state. */
function versionsOf({ name, events, stateVersion }: Consumer): Record<string, number> {
  const versions = events.flatMap(({ type, aliases, version }) =>
    [type, ...aliases].map((stored) => [stored, version] as const),
  )
  if (stateVersion !== undefined) versions.push([stateTypeOf(name), stateVersion])
  return Object.fromEntries(versions)
}
