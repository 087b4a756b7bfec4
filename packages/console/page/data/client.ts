/** What the API says of a request that it did not answer (RFC 9457). */
export class Problem extends Error {
  readonly status: number
  readonly code: string | undefined
  readonly hint: string | undefined
  readonly details: unknown

  constructor(status: number, body: Readonly<Record<string, unknown>>) {
    super(textOf(body['detail']) ?? textOf(body['title']) ?? `the server answered ${status}`)
    this.status = status
    this.code = textOf(body['code'])
    this.hint = textOf(body['hint'])
    this.details = body['details']
  }
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

/** Query parameters; what is undefined or empty is left out, a list becomes a text with commas. */
export type Query = Readonly<Record<string, string | number | readonly string[] | undefined>>

/** The URL of a request to the API, for whatever the page is served below. */
export function apiUrl(path: readonly string[], query: Query = {}): string {
  const url = new URL(`api/${path.map(encodeURIComponent).join('/')}`, document.baseURI)
  for (const [name, value] of Object.entries(query)) {
    const text = Array.isArray(value) ? value.join(',') : String(value ?? '')
    if (text !== '') url.searchParams.set(name, text)
  }
  return url.href
}

/** Reads. @throws Problem. */
export async function read<T>(url: string, signal?: AbortSignal): Promise<T> {
  return answered<T>(await fetch(url, { signal: signal ?? null }))
}

/** Changes something. @throws Problem. */
export async function send<T = unknown>(
  method: 'POST' | 'PUT' | 'PATCH' | 'DELETE',
  path: readonly string[],
  body: unknown = {},
): Promise<T> {
  const headers = { 'content-type': 'application/json' }
  return answered<T>(await fetch(apiUrl(path), { method, headers, body: JSON.stringify(body) }))
}

async function answered<T>(response: Response): Promise<T> {
  const text = await response.text()
  if (response.ok) return (text === '' ? undefined : JSON.parse(text)) as T
  throw new Problem(response.status, problemIn(text))
}

function problemIn(text: string): Readonly<Record<string, unknown>> {
  try {
    const body: unknown = JSON.parse(text)
    return typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : {}
  } catch {
    // A proxy between answers in a language of its own.
    return { detail: text.slice(0, 300) }
  }
}
