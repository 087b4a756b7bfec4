/**
 * Looking at values that somebody has thrown, whatever they are: an accessor may throw, a proxy may refuse, a prototype
 * may be another realm's. Nothing here throws.
 */

/** A property; undefined when reading it fails. */
export function field(value: unknown, key: PropertyKey): unknown {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return undefined
  try {
    return (value as Record<PropertyKey, unknown>)[key]
  } catch {
    return undefined
  }
}

/** A property that is a text; undefined when it is anything else. */
export function textField(value: unknown, key: PropertyKey): string | undefined {
  const text = field(value, key)
  return typeof text === 'string' ? text : undefined
}

/** Whether it is an error: one of ours, or anything that looks like one. */
export function looksLikeError(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  try {
    if (value instanceof Error) return true
  } catch {
    // A prototype that cannot be asked for: it is judged by its looks.
  }
  return textField(value, 'message') !== undefined
}

// jsonb and text refuse NUL and lone surrogates: writing a failure down must not fail on its words.
/** A text as Postgres takes it, cut after `most` characters. */
export function storableText(text: string, most: number): string {
  const whole = text.length <= most
  const kept = (whole ? text : text.slice(0, most)).toWellFormed().replaceAll('\0', '\u2400')
  return whole ? kept : `${kept}… (${text.length} characters)`
}

/** A text without the passwords of the addresses in it: `postgres://ada:…@host/app`. */
export function withoutPasswords(text: string): string {
  return text.includes('://') ? text.replaceAll(/:\/\/([^\s:/@]*):\S*@/gu, '://$1:…@') : text
}

const mostItems = 10
const mostInPreview = 500

/** A value in a few words, for people. */
export function preview(value: unknown, depth = 2): string {
  switch (typeof value) {
    case 'string':
      return storableText(withoutPasswords(value), mostInPreview)
    case 'object':
      return value === null ? 'null' : guarded(() => previewObject(value, depth), 'object')
    case 'function':
      return `function ${storableText(textField(value, 'name') ?? '', 100)}`.trimEnd()
    case 'bigint':
      return storableText(value.toString(), mostInPreview)
    case 'symbol':
      return storableText(value.toString(), mostInPreview)
    case 'number':
    case 'boolean':
    case 'undefined':
      return String(value)
    default:
      return 'a value of an unknown type'
  }
}

function previewObject(value: object, depth: number): string {
  if (depth === 0) return Array.isArray(value) ? '[…]' : '{…}'
  if (Array.isArray(value)) {
    const items = Array.from({ length: Math.min(value.length, mostItems) }, (_, index) =>
      preview(field(value, index), depth - 1),
    )
    return `[${items.join(', ')}${value.length > mostItems ? ', …' : ''}]`
  }
  const items: string[] = []
  // Not Object.keys: of an object with a million keys only the first few are looked at.
  for (const key in value) {
    if (items.length === mostItems) {
      items.push('…')
      break
    }
    items.push(`${storableText(key, 100)}: ${preview(field(value, key), depth - 1)}`)
  }
  return `{${items.join(', ')}}`
}

function guarded(look: () => string, fallback: string): string {
  try {
    return look()
  } catch {
    return `${fallback} that cannot be looked at`
  }
}
