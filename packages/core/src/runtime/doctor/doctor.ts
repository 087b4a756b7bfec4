import {
  rejectUnknownOptions,
  requireBoolean,
  requireTexts,
  requireWhole,
} from '../../errors/options.ts'
import { cursors } from './checks/consumers/cursors.ts'
import { deadLetters } from './checks/consumers/dead-letters.ts'
import { emptied } from './checks/consumers/emptied.ts'
import { listeners } from './checks/consumers/listeners.ts'
import { rebuilds } from './checks/consumers/rebuilds.ts'
import { resizes } from './checks/consumers/resizes.ts'
import { skips } from './checks/consumers/skips.ts'
import { unseen } from './checks/consumers/unseen.ts'
import { jobs } from './checks/jobs/jobs.ts'
import { schedules } from './checks/jobs/schedules.ts'
import { processes } from './checks/processes/processes.ts'
import { publishers } from './checks/processes/publishers.ts'
import { readOrphans, runners, type Orphan } from './checks/processes/runners.ts'
import { invariants } from './checks/server/invariants.ts'
import { migrations } from './checks/server/migrations.ts'
import { partitions } from './checks/server/partitions.ts'
import { server } from './checks/server/server.ts'
import { settings } from './checks/server/settings.ts'
import { types } from './checks/server/types.ts'
import type { Finding } from './finding.ts'
import type { Check, ExaminedApp } from './patient.ts'

/** The checks that make sense of any database, and those that need Tidemark's tables. */
const ofServer: readonly Check[] = [server, settings, migrations]
const ofTables: readonly Check[] = [
  invariants,
  publishers,
  listeners,
  runners,
  processes,
  deadLetters,
  jobs,
  schedules,
  rebuilds,
  resizes,
  cursors,
  partitions,
  skips,
  unseen,
  emptied,
  types,
]

/** How the doctor looks. */
export interface ExamineOptions {
  /** How long a transaction may publish before it is named, in milliseconds. Defaults to 10,000. */
  readonly publisherAge?: number
  /** Only these checks. Defaults to all. */
  readonly checks?: readonly string[]
  /**
   * Whether what reads much is left out, for whoever asks every few seconds: jobs are not counted again, and only the types
   * of the newest events are looked at. Defaults to false.
   */
  readonly quick?: boolean
}

/** Looking for what is wrong, with a remedy for each: what `tidemark doctor` prints. */
export class Doctor {
  readonly #app: ExaminedApp

  constructor(app: ExaminedApp) {
    this.#app = app
  }

  /**
   * Looks at the server and its settings, migrations, invariants, publishers, listeners, who runs them and how these processes are, dead letters,
   * jobs, schedules, rebuilds, resizes, cursors, partitions, skipped events, those that inline projections have not seen, unlogged tables that were emptied, and stored types. Changes nothing.
   *
   * @throws TidemarkError TIDEMARK_INVALID_OPTION, or TIDEMARK_CONNECTION_FAILED.
   *
   * @example
   * ```ts
   * import { defineApp } from 'tidemark'
   *
   * await using app = defineApp({ modules: [] })
   * for (const { code, summary, remedy, status } of await app.doctor.examine()) {
   *   if (status !== 'ok') console.log(code, summary, remedy)
   * }
   * ```
   */
  async examine(options: ExamineOptions = {}): Promise<Finding[]> {
    rejectUnknownOptions('doctor.examine', options, ['publisherAge', 'checks', 'quick'])
    const { publisherAge = 10_000, checks, quick = false } = options
    requireWhole('doctor.examine', 'publisherAge', publisherAge, 0)
    if (checks !== undefined) requireTexts('doctor.examine', 'checks', checks)
    requireBoolean('doctor.examine', 'quick', quick)
    const patient = { app: this.#app, publisherAge, quick }
    const wanted = ({ name }: Check): boolean => checks === undefined || checks.includes(name)
    const found: Finding[] = []
    for (const check of ofServer) {
      // Whether there are tables is asked in any case.
      if (wanted(check) || check === migrations) found.push(...(await check.look(patient)))
    }
    // Without its tables there is nothing else to look at.
    const migrated = found.every(({ check, status }) => check !== 'migrations' || status === 'ok')
    if (!migrated) return found
    for (const check of ofTables) {
      if (wanted(check)) found.push(...(await check.look(patient)))
    }
    return found.filter(({ check }) => checks === undefined || checks.includes(check))
  }

  /** The generations of listeners and projections that no live process can run. */
  async orphans(): Promise<readonly Orphan[]> {
    return (await readOrphans(this.#app)).orphans
  }
}
