/** What makes a value of its JSON, in place. */
type Applied = (json: unknown) => unknown

type Revive = (json: never) => unknown

// As superjson has them.
const revivers: Readonly<Record<string, Revive>> = Object.freeze({
  bigint: (text: string) => BigInt(text),
  Date: (text: string) => new Date(text),
  undefined: () => undefined,
  number: (text: string) => Number(text),
  URL: (text: string) => new URL(text),
})

const compiled = new WeakMap<object, Applied | null>()
const parsed = new Map<string, object>()
const mostParsed = 1000
const longestParsed = 1000

/**
 * The notes that a text holds. Events of one type mostly have the same: they are parsed once.
 *
 * @returns an object that others have, too.
 */
export function parseNotes(text: string): unknown {
  const known = parsed.get(text)
  if (known !== undefined) return known
  const notes = JSON.parse(text) as object | null
  if (notes === null || parsed.size >= mostParsed || text.length > longestParsed) return notes
  parsed.set(text, notes)
  compiled.set(notes, compile(notes) ?? null)
  return notes
}

/**
 * What superjson's notes ask for, for the few types that nearly all payloads have, in objects and lists. superjson walks the
 * notes anew for each value: for an event with a bigint and a Date that took longer than to parse it.
 *
 * @param notes - superjson's `meta`.
 * @returns what makes the value of its JSON, in place; undefined when the notes have anything else in them.
 */
export function appliedNotes(notes: unknown): Applied | undefined {
  if (typeof notes !== 'object' || notes === null) return undefined
  const known = compiled.get(notes)
  return known === undefined ? compile(notes) : (known ?? undefined)
}

interface Step {
  readonly path: readonly string[]
  readonly revive: Revive
}

function compile(notes: object): Applied | undefined {
  const { values, v: version, ...others } = notes as { values?: unknown; v?: unknown }
  if (version !== 1 || Object.keys(others).length > 0) return undefined
  if (typeof values !== 'object' || values === null) return undefined
  if (Array.isArray(values)) {
    const revive = reviverOf(values)
    return revive === undefined ? undefined : (json) => revive(json as never)
  }
  const steps: Step[] = []
  for (const [key, note] of Object.entries(values)) {
    const revive = reviverOf(note)
    const path = key.split('.')
    // An escaped path, or one that leads to what superjson takes care not to touch.
    if (revive === undefined || key.includes('\\') || path.some(isForbidden)) return undefined
    steps.push({ path, revive })
  }
  return (json) => {
    for (const step of steps) apply(json, step)
    return json
  }
}

function isForbidden(key: string): boolean {
  return key === '__proto__' || key === 'constructor' || key === 'prototype'
}

/** Of a note on one value, with nothing noted of what is in it. */
function reviverOf(note: unknown): Revive | undefined {
  const [type, ...rest] = Array.isArray(note) ? (note as unknown[]) : []
  return typeof type === 'string' && rest.length === 0 && Object.hasOwn(revivers, type)
    ? revivers[type]
    : undefined
}

function apply(json: unknown, { path, revive }: Step): void {
  let parent: unknown = json
  const last = path.length - 1
  for (let depth = 0; depth < last; depth++) parent = partOf(parent, path[depth] as string)
  const key = path[last] as string
  // Somebody else's notes may be of another value.
  if (typeof parent !== 'object' || parent === null) return
  const object = parent as Record<string, unknown>
  object[key] = revive(object[key] as never)
}

function partOf(parent: unknown, key: string): unknown {
  return typeof parent === 'object' && parent !== null
    ? (parent as Record<string, unknown>)[key]
    : undefined
}
