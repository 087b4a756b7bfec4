import type { z } from 'zod'
import { invalidRequest } from './problem.ts'

/**
 * The body of a request, checked; nothing counts as an empty object.
 *
 * @param parse - reads its JSON. Defaults to `JSON.parse`.
 * @throws TidemarkError TIDEMARK_REQUEST_INVALID.
 */
export async function readBody<T>(
  request: { text(): Promise<string> },
  schema: z.ZodType<T>,
  parse: (text: string) => unknown = JSON.parse,
): Promise<T> {
  const text = await request.text()
  let json: unknown
  try {
    json = text === '' ? {} : parse(text)
  } catch (error) {
    throw invalidRequest(400, `the body is not JSON: ${(error as Error).message}`)
  }
  return checked('the body', schema, json)
}

/**
 * What a query or a body says, checked.
 *
 * @throws TidemarkError TIDEMARK_REQUEST_INVALID, with the path of what is wrong.
 */
export function checked<T>(what: string, schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  const path = issue?.path.map(String).join('.') ?? ''
  throw invalidRequest(
    400,
    `${what} is invalid${path === '' ? '' : ` at ${path}`}: ${issue?.message ?? ''}`,
  )
}
