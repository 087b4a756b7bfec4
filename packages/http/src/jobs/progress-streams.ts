import { createHash } from 'node:crypto'
import type { JobHandle, JobReport } from 'tidemark'
import { toJson } from '../answers/json.ts'
import { invalidRequest } from '../answers/problem.ts'
import { eventStream, streamHeaders } from '../live/event-stream.ts'

/** How many streams there may be, and how they live. */
export interface ProgressStreamOptions {
  readonly maxStreams: number
  /** In milliseconds. */
  readonly heartbeatInterval: number
  /** Ends them all. */
  readonly signal: AbortSignal | undefined
  /** Told when a stream breaks. */
  readonly onError: (error: unknown) => void
}

/**
 * The progress of jobs as server-sent events: how it stands on connecting, then every change, until the job has
 * finished. Nothing is asked of the database before somebody reads, nor after the client has gone.
 */
export class ProgressStreams {
  readonly #options: ProgressStreamOptions
  #open = 0

  constructor(options: ProgressStreamOptions) {
    this.#options = options
  }

  /** How many are being read. */
  get open(): number {
    return this.#open
  }

  /** @throws TidemarkError TIDEMARK_REQUEST_INVALID, 429, when there are too many already. */
  async respond(
    request: Request,
    handle: JobHandle,
    shown: (report: JobReport) => JobReport,
  ): Promise<Response> {
    const seen = request.headers.get('last-event-id')
    const report = shown(await handle.report())
    // Nothing follows: what an EventSource takes as the word to stop connecting again.
    if (isFinished(report) && eventId(report) === seen) return new Response(null, { status: 204 })
    if (request.method === 'HEAD') return new Response(null, { headers: streamHeaders })
    if (this.#open >= this.#options.maxStreams) {
      throw invalidRequest(
        429,
        `${this.#open} clients follow the progress of jobs already`,
        'Ask for the status now and then, or raise `maxStreams`.',
      )
    }
    const { signal, onError } = this.#options
    return eventStream(request, signal, onError, (ended) =>
      this.#chunks(handle, shown, seen, ended),
    )
  }

  async *#chunks(
    handle: JobHandle,
    shown: (report: JobReport) => JobReport,
    seen: string | null,
    signal: AbortSignal,
  ): AsyncGenerator<string, undefined> {
    this.#open += 1
    const reports = handle.progress({ signal })
    try {
      yield 'retry: 2000\n\n'
      let next = reports.next()
      for (;;) {
        const result = await beforeHeartbeat(next, this.#options.heartbeatInterval)
        if (result === undefined) {
          yield ': still here\n\n'
          continue
        }
        if (result.done === true) return
        const report = shown(result.value)
        const id = eventId(report)
        // A client that comes back has this one already.
        if (id !== seen) yield `id: ${id}\nevent: progress\ndata: ${toJson(report)}\n\n`
        next = reports.next()
      }
    } finally {
      this.#open -= 1
    }
  }
}

/** What comes before so many milliseconds have passed, or undefined. */
async function beforeHeartbeat<T>(promise: Promise<T>, ms: number): Promise<T | undefined> {
  const { promise: heartbeat, resolve } = Promise.withResolvers<undefined>()
  const timer = setTimeout(() => resolve(undefined), ms)
  try {
    return await Promise.race([promise, heartbeat])
  } finally {
    clearTimeout(timer)
  }
}

function isFinished({ status }: JobReport): boolean {
  return status === 'completed' || status === 'failed' || status === 'cancelled'
}

/** The same for the same report: there is no history of them to number. */
function eventId(report: JobReport): string {
  return createHash('sha256').update(toJson(report)).digest('base64url').slice(0, 16)
}
