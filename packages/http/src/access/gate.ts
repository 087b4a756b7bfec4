import type { Context, MiddlewareHandler } from 'hono'
import { isTidemarkError, TidemarkError, type App, type JobView } from 'tidemark'
import { authorizeLoopback, denied, type Authorize, type JobAction, type Peer } from './access.ts'

/** What handlers find in their context. */
export interface ApiEnv {
  readonly Bindings: { readonly peer: Peer }
  readonly Variables: { job: JobView }
}

const uuid = /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/iu

/** Lets requests through to their handlers, or does not; before their bodies are read. */
export class Gate {
  readonly #app: App
  readonly #authorize: Authorize | undefined

  constructor(app: App, authorize: Authorize | undefined) {
    this.#app = app
    this.#authorize = authorize
  }

  /** For what is about no job in particular. */
  may(action: JobAction): MiddlewareHandler<ApiEnv> {
    return async (context, next) => {
      const refusal = await this.#refusal(context, action, null)
      if (refusal !== undefined) return refusal
      await next()
      return undefined
    }
  }

  /**
   * For what is about one job, which the handler finds as `job`. Who may not see a job does not learn whether it
   * exists.
   */
  mayWithJob(action: JobAction): MiddlewareHandler<ApiEnv> {
    return async (context, next) => {
      // Without a hook there is no need to look for the job of a stranger.
      const early = this.#authorize === undefined
      const stranger = early ? await this.#refusal(context, action, null) : undefined
      if (stranger !== undefined) return stranger
      const id = context.req.param('id') ?? ''
      const job = await this.#find(id)
      const refusal = early ? undefined : await this.#refusal(context, action, job)
      if (refusal !== undefined) return refusal
      if (job === null) {
        throw new TidemarkError('TIDEMARK_UNKNOWN_JOB', `there is no job ${id}`, {
          details: { id },
        })
      }
      context.set('job', job)
      await next()
      return undefined
    }
  }

  /** @throws TidemarkError TIDEMARK_REQUEST_DENIED. */
  async #refusal(
    context: Context<ApiEnv>,
    action: JobAction,
    job: JobView | null,
  ): Promise<Response | undefined> {
    const authorize = this.#authorize ?? authorizeLoopback
    const type = context.req.param('name') ?? job?.name ?? null
    const { peer } = context.env
    // Also what a hook in JavaScript answers: only true is true.
    const answer: unknown = await authorize({ request: context.req.raw, action, job, type, peer })
    if (answer instanceof Response) return answer
    if (answer === true) return undefined
    throw this.#authorize === undefined
      ? denied('only clients on this machine are served')
      : denied(`you may not ${action} here`, 'The `authorize` hook of the API refused it.')
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
