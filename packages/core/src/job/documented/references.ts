import { TidemarkError } from '../../errors/tidemark-error.ts'

/** Where the values of references come from. */
export interface ReferenceSource {
  /** The value of a root, and how many parts of the path have led to it; undefined: there is none. */
  find(path: readonly string[]): Promise<Found | undefined>
  /** What may be referred to, for the message of an error. */
  known(): readonly string[]
}

export interface Found {
  readonly value: unknown
  readonly used: number
}

// A backslash before it leaves it as it is. Blanks are taken off afterwards: a pattern that tries where they end takes
// minutes for a text of ten thousand of them, and texts come from whoever calls.
const reference = /(\\?)\{\{([^{}]+)\}\}/gu
const part = /^(?:([^.[\]"]+)|\["((?:[^"\\]|\\.)*)"\]|\[(\d+)\])/u

/**
 * Puts values in the place of references, at any depth of plain objects and lists.
 *
 * @throws TidemarkError TIDEMARK_UNKNOWN_REFERENCE.
 */
export async function resolveReferences(value: unknown, source: ReferenceSource): Promise<unknown> {
  if (typeof value === 'string') return resolveText(value, source)
  if (Array.isArray(value)) {
    const items: unknown[] = []
    for (const item of value as unknown[]) items.push(await resolveReferences(item, source))
    return items
  }
  if (!isPlain(value)) return value
  const copy: Record<string, unknown> = {}
  for (const [key, item] of Object.entries(value)) {
    const resolved = await resolveReferences(item, source)
    Object.defineProperty(copy, key, {
      value: resolved,
      enumerable: true,
      writable: true,
      configurable: true,
    })
  }
  return copy
}

async function resolveText(text: string, source: ReferenceSource): Promise<unknown> {
  const matches = [...text.matchAll(reference)]
  const [only] = matches
  if (only === undefined) return text
  if (matches.length === 1 && only[0] === text && only[1] === '') {
    return valueOf(nameIn(only), source)
  }
  let result = ''
  let end = 0
  for (const match of matches) {
    const [whole, escape] = match
    result += text.slice(end, match.index)
    end = match.index + whole.length
    result += escape === '' ? shown(await valueOf(nameIn(match), source)) : whole.slice(1)
  }
  return result + text.slice(end)
}

function nameIn([, , written = '']: RegExpExecArray): string {
  return written.trim()
}

async function valueOf(written: string, source: ReferenceSource): Promise<unknown> {
  const path = parsed(written)
  const found = path === undefined ? undefined : await source.find(path)
  if (path === undefined || found === undefined) throw unknown(written, source)
  let { value } = found
  for (const key of path.slice(found.used)) {
    // Only what the value itself has: no prototypes, no methods.
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) {
      throw unknown(written, source)
    }
    value = (value as Record<string, unknown>)[key]
  }
  return value
}

/** The parts of a path; undefined: it is none. */
function parsed(written: string): string[] | undefined {
  const path: string[] = []
  let rest = written
  while (rest !== '') {
    if (path.length > 0 && rest.startsWith('.')) rest = rest.slice(1)
    else if (path.length > 0 && !rest.startsWith('[')) return undefined
    const match = part.exec(rest)
    if (match === null) return undefined
    const [whole, word, quoted, index] = match
    const name = word ?? index ?? unquoted(quoted ?? '')
    if (name === undefined) return undefined
    path.push(name)
    rest = rest.slice(whole.length)
  }
  return path.length === 0 ? undefined : path
}

/** A name as JSON has it between quotation marks; undefined: it has not. */
function unquoted(quoted: string): string | undefined {
  try {
    return JSON.parse(`"${quoted}"`) as string
  } catch {
    return undefined
  }
}

function shown(value: unknown): string {
  if (typeof value === 'string') return value
  if (typeof value === 'bigint') return String(value)
  if (value instanceof Date) return value.toISOString()
  const exact = (_: string, inner: unknown): unknown =>
    typeof inner === 'bigint' ? String(inner) : inner
  return JSON.stringify(value, exact) ?? ''
}

function isPlain(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

function unknown(written: string, source: ReferenceSource): TidemarkError {
  const known = source.known()
  return new TidemarkError(
    'TIDEMARK_UNKNOWN_REFERENCE',
    `{{${written}}} refers to nothing that is there`,
    {
      hint: `There are ${known.slice(0, 20).join(', ')}${known.length > 20 ? ', …' : ''}.`,
      details: { reference: written, known },
    },
  )
}
