import type { Context, MiddlewareHandler } from 'hono'
import { isTidemarkError, TidemarkError, type App, type JobView } from 'tidemark'
import {
  apiActions,
  authorizeLoopback,
  denied,
  kindOf,
  type ApiAction,
  type AuthorizeApi,
  type Peer,
  type Subject,
} from './access.ts'
import { Redactor } from './redaction.ts'
import { Veil } from './veil.ts'

/** What handlers find in their context. */
export interface ApiEnv {
  readonly Bindings: { readonly peer: Peer }
  readonly Variables: {
    job: JobView
    /** What the gate has let through. */
    passed: { readonly action: ApiAction; readonly subject: Subject | null }
    /** Asks once what the request may see. */
    veil: () => Promise<Veil>
  }
}

/** How a gate decides. */
export interface GateOptions {
  readonly authorize: AuthorizeApi | undefined
  /** Whether nothing may be changed, whoever asks. Defaults to false. */
  readonly readOnly?: boolean
  readonly redactor?: Redactor
  /** Whether somebody is asked who may see payloads and stacks. Without it all see payloads and nobody stacks. */
  readonly veiled?: boolean
  /** Told of every request that was let through to change something, when it has been answered. */
  readonly onSteered?: (steering: SteeringRequest) => Promise<void>
}

/** A request that was let through to change something. */
export interface SteeringRequest {
  readonly action: ApiAction
  readonly subject: Subject | null
  readonly request: Request
  /** The text of its body. */
  readonly body: string
  /** What it was answered with. */
  readonly status: number
}

const uuid = /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/iu

/** Lets requests through to their handlers, or does not; before their bodies are read. */
export class Gate {
  readonly #app: App
  readonly #options: GateOptions
  readonly #redactor: Redactor

  constructor(app: App, options: GateOptions) {
    this.#app = app
    this.#options = options
    this.#redactor = options.redactor ?? new Redactor()
  }

  /** For what is about no job in particular. */
  may(
    action: ApiAction,
    subject?: (context: Context<ApiEnv>) => Subject,
  ): MiddlewareHandler<ApiEnv> {
    return async (context, next) => {
      const about = subject?.(context) ?? null
      const refusal = await this.#refusal(context, action, null, about)
      if (refusal !== undefined) return refusal
      context.set('passed', { action, subject: about })
      context.set('veil', this.#veilOf(context, null, about))
      await next()
      await this.#tell(context, action, about)
      return undefined
    }
  }

  /**
   * For what is about one job, which the handler finds as `job`. Who may not see a job does not learn whether it
   * exists.
   */
  mayWithJob(action: ApiAction): MiddlewareHandler<ApiEnv> {
    return async (context, next) => {
      // Without a hook there is no need to look for the job of a stranger.
      const early = this.#options.authorize === undefined
      const stranger = early ? await this.#refusal(context, action, null, null) : undefined
      if (stranger !== undefined) return stranger
      const id = context.req.param('id') ?? ''
      const job = await this.#find(id)
      const subject = job === null ? null : { kind: 'job' as const, name: job.id }
      const refusal = early ? undefined : await this.#refusal(context, action, job, subject)
      if (refusal !== undefined) return refusal
      if (job === null) {
        throw new TidemarkError('TIDEMARK_UNKNOWN_JOB', `there is no job ${id}`, {
          details: { id },
        })
      }
      context.set('job', job)
      context.set('passed', { action, subject })
      context.set('veil', this.#veilOf(context, job, subject))
      await next()
      await this.#tell(context, action, subject)
      return undefined
    }
  }

  /** Whether a request that was let through would be let through again. */
  async still(context: Context<ApiEnv>, action: ApiAction): Promise<boolean> {
    return (await this.#ask(context, action, null, null)) === true
  }

  /** Which actions a request may take, for whoever wants to know what to offer. */
  async allowed(context: Context<ApiEnv>): Promise<Partial<Record<ApiAction, boolean>>> {
    const answers: Partial<Record<ApiAction, boolean>> = {}
    for (const action of apiActions) {
      answers[action] = this.#isReadOnly(action)
        ? false
        : (await this.#ask(context, action, null, null)) === true
    }
    return answers
  }

  /** Whether nothing may be changed, whoever asks. */
  get readOnly(): boolean {
    return this.#options.readOnly === true
  }

  #isReadOnly(action: ApiAction): boolean {
    return this.readOnly && kindOf(action) === 'steer'
  }

  /** @throws TidemarkError TIDEMARK_REQUEST_DENIED. */
  async #refusal(
    context: Context<ApiEnv>,
    action: ApiAction,
    job: JobView | null,
    subject: Subject | null,
  ): Promise<Response | undefined> {
    const answer = await this.#ask(context, action, job, subject)
    if (answer instanceof Response) return answer
    if (answer !== true) {
      throw this.#options.authorize === undefined
        ? denied('only clients on this machine are served')
        : denied(`you may not ${action} here`, 'The `authorize` hook of the API refused it.')
    }
    if (!this.#isReadOnly(action)) return undefined
    throw denied(
      `nothing can be changed here, so you may not ${action}`,
      'The API is served with `readOnly: true`.',
    )
  }

  async #ask(
    context: Context<ApiEnv>,
    action: ApiAction,
    job: JobView | null,
    subject: Subject | null,
  ): Promise<unknown> {
    const { authorize = authorizeLoopback } = this.#options
    const named = subject?.kind === 'job type' ? subject.name : null
    const type = named ?? context.req.param('name') ?? job?.name ?? null
    const { peer } = context.env
    const kind = kindOf(action)
    // Also what a hook in JavaScript answers: only true is true.
    return authorize({ request: context.req.raw, action, kind, subject, job, type, peer })
  }

  async #tell(context: Context<ApiEnv>, action: ApiAction, subject: Subject | null): Promise<void> {
    const { onSteered } = this.#options
    if (onSteered === undefined || kindOf(action) !== 'steer') return
    // It has been read, or was too large to be.
    const body = await context.req.text().catch(() => '')
    const { raw: request } = context.req
    await onSteered({ action, subject, request, body, status: context.res.status })
  }

  #veilOf(
    context: Context<ApiEnv>,
    job: JobView | null,
    subject: Subject | null,
  ): () => Promise<Veil> {
    let veil: Promise<Veil> | undefined
    const ask = async (): Promise<Veil> => {
      if (this.#options.veiled !== true) return new Veil(true, false, this.#redactor)
      const open = (await this.#ask(context, 'payloads', job, subject)) === true
      return new Veil(open, true, this.#redactor)
    }
    return () => (veil ??= ask())
  }

  async #find(id: string): Promise<JobView | null> {
    if (!uuid.test(id)) return null
    try {
      // A large output is read by who asks for it, and may.
      return await this.#app.jobs.get(id, { output: false })
    } catch (error) {
      if (isTidemarkError(error, 'TIDEMARK_UNKNOWN_JOB')) return null
      throw error
    }
  }
}
