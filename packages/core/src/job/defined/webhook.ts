import { z } from 'zod'
import { messageOf } from '../../errors/describe-error.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'

/** A webhook as a job keeps it. */
export interface Webhook<Payload> {
  readonly method: string
  readonly url: string
  /** By their names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  readonly payload: Payload
  readonly receivedAt: Date
}

/** A file as a job keeps it: where it is and what it is, not what it holds. */
export interface FileDescriptor {
  readonly name: string
  /** Where whoever took it put it: a path or a URL that workers can read. */
  readonly location: string
  /** In bytes. */
  readonly size: number
  /** Its media type. */
  readonly type?: string | undefined
  readonly sha256?: string | undefined
}

// Who sent it has been checked by then; what proves it is not to lie in a table.
const secrets = new Set(['authorization', 'cookie', 'proxy-authorization'])

/** The schema of a {@link Webhook} with such a payload, for the `context` of a job. */
export function webhookSchema<Payload extends z.ZodType>(
  payload: Payload,
): z.ZodType<Webhook<z.output<Payload>>, Webhook<z.input<Payload>>> {
  return z.object({
    method: z.string(),
    url: z.string(),
    headers: z.record(z.string(), z.string()),
    payload,
    receivedAt: z.date(),
  }) as unknown as z.ZodType<Webhook<z.output<Payload>>, Webhook<z.input<Payload>>>
}

/** The schema of a {@link FileDescriptor}, for the `context` of a job. */
export const fileSchema: z.ZodType<FileDescriptor> = z.object({
  name: z.string(),
  location: z.string(),
  size: z.number().int().nonnegative(),
  type: z.string().optional(),
  sha256: z.string().optional(),
})

/**
 * A request with a JSON body as a job keeps it, without the headers that hold secrets (`authorization`, `cookie`).
 *
 * @throws TidemarkError TIDEMARK_INVALID_INPUT when the body is not JSON.
 *
 * @example
 * ```ts
 * import { defineApp, defineJob, webhookOf, webhookSchema } from 'tidemark'
 * import { z } from 'zod'
 *
 * const takePayment = defineJob('take_payment', {
 *   input: z.object({ order: z.string() }),
 *   context: z.object({ webhook: webhookSchema(z.object({ order: z.string(), cents: z.number() })) }),
 *   run: (job) => console.log(job.context.webhook.payload.cents),
 * })
 * const tidemark = defineApp({ modules: [takePayment] })
 *
 * export async function handle(request: Request): Promise<Response> {
 *   const webhook = await webhookOf(request)
 *   const { order } = webhook.payload as { order: string }
 *   await tidemark.jobs.spawn(takePayment, { order }, { context: { webhook } })
 *   return new Response(null, { status: 202 })
 * }
 * ```
 */
export async function webhookOf(request: Request): Promise<Webhook<unknown>> {
  if (typeof request?.json !== 'function' || typeof request.headers?.entries !== 'function') {
    throw new TidemarkError(
      'TIDEMARK_INVALID_OPTION',
      'webhookOf needs a Request, as `fetch` knows them',
      {
        hint: 'Of a request of Express or Node, give the fields of a webhook yourself: method, url, headers, payload and receivedAt.',
      },
    )
  }
  return {
    method: request.method,
    url: request.url,
    headers: Object.fromEntries([...request.headers].filter(([name]) => !secrets.has(name))),
    payload: await bodyOf(request),
    receivedAt: new Date(),
  }
}

async function bodyOf(request: Request): Promise<unknown> {
  try {
    return await request.json()
  } catch (cause) {
    throw new TidemarkError(
      'TIDEMARK_INVALID_INPUT',
      `the body of the webhook is not JSON: ${messageOf(cause)}`,
      {
        cause,
        hint: 'Answer 400. Of a form, or of a body that was read before, make the webhook yourself, with what you have read as its payload.',
      },
    )
  }
}
