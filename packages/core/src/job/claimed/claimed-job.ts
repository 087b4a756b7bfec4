/** A job as claim_jobs() answers it. */
export interface ClaimedJob {
  readonly id: string
  /** The fencing token of this claim: int8, as the driver hands it over. */
  readonly token: string
  readonly attempt: number
  readonly version: number
  readonly name: string
  readonly input: unknown
  readonly input_meta: unknown
  readonly created_at: Date
  readonly priority: number
  /** Whether an earlier attempt may have left something. */
  readonly resumes: boolean
  /** Whether it has a concurrency key. */
  readonly keyed: boolean
  readonly parent: string | null
  readonly triggered_by: string
  readonly correlation_id: string | null
  readonly causation_id: string | null
  readonly requested: 'pause' | 'cancel' | null
  /** How many processes in a row have died while they had it. */
  readonly deaths: number
  /** The context that it was spawned in. Only for who traces. */
  readonly traceparent?: string | null
  readonly tracestate?: string | null
  /** How many milliseconds it has waited to be claimed. Only for who measures. */
  readonly waited?: number
}
