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

// A backslash before it leaves it as it is.
const reference = /(\\?)\{\{\s*([^{}]+?)\s*\}\}/gu
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
    return valueOf(only[2] as string, source)
  }
  let result = ''
  let end = 0
  for (const match of matches) {
    const [whole, escape, path] = match
    result += text.slice(end, match.index)
    end = match.index + whole.length
    result += escape === '' ? shown(await valueOf(path as string, source)) : whole.slice(1)
  }
  return result + text.slice(end)
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
    path.push(word ?? index ?? (JSON.parse(`"${quoted ?? ''}"`) as string))
    rest = rest.slice(whole.length)
  }
  return path.length === 0 ? undefined : path
}

function shown(value: unknown): string {
  if (typeof value === 'string') return value
  if (typeof value === 'bigint') return String(value)
  if (value instanceof Date) return value.toISOString()
  return JSON.stringify(value) ?? ''
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
