import type { ApiAction, AuthorizeApi, Subject } from './access/access.ts'
import type { Redaction } from './access/redaction.ts'
import type { JobApiOptions } from './jobs/job-api-options.ts'

/** Something that was changed, or was to be. */
export interface Steered {
  readonly action: ApiAction
  /** What it is about; null when that is in the body: a selection of dead letters or jobs. */
  readonly subject: Subject | null
  /** What was asked for beside that: the body of the request. */
  readonly asked: unknown
  /** As `triggeredBy` says. */
  readonly by: string
  readonly at: Date
  /** The HTTP status that it was answered with. */
  readonly status: number
}

/** How {@link createApi} serves. */
export interface ApiOptions extends Omit<JobApiOptions, 'authorize' | 'triggeredBy'> {
  /**
   * Says who may do what. Defaults to serving clients on this machine and nobody else, which it knows by the address
   * that the server passes along; without one nobody is served.
   */
  readonly authorize?: AuthorizeApi
  /** Refuses whatever changes something, whoever asks. Defaults to false. */
  readonly readOnly?: boolean
  /** What nobody sees of payloads. Defaults to nothing. */
  readonly redact?: readonly Redaction[]
  /** Who steers: for the history of jobs, for pauses, for the record that `app.audit` keeps, and for `onSteered`. Defaults to `'http'`. */
  readonly triggeredBy?: (request: Request) => string | Promise<string>
  /** By which way who steers has come, for the record that `app.audit` keeps. Defaults to `'http'`. */
  readonly via?: string
  /** Told of everything that a request has changed, or tried to: to keep a record of who did what. What it throws is logged. */
  readonly onSteered?: (steered: Steered) => void | Promise<void>
  /** How often the overview is taken while somebody follows it, for all together, in milliseconds. Defaults to 1,000. */
  readonly overviewInterval?: number
}
