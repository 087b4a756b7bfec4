import type { JSX } from 'preact'

/** A name that somebody gave: isolated, so that one from right to left does not turn what stands around it. */
export function Name({ of: name }: { readonly of: string | null | undefined }): JSX.Element {
  if (name === null || name === undefined) return <span class="quiet">–</span>
  return <bdi>{cut(name, 500)}</bdi>
}

/** A text in which commands stand between backticks. */
export function WithCode({ text }: { readonly text: string }): JSX.Element {
  return (
    <>
      {text
        .split('`')
        .map((part, index) => (index % 2 === 0 ? part : <code key={part}>{part}</code>))}
    </>
  )
}

/** The beginning of a text that is too long. */
export function cut(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most)}…`
}

/** A whole number with its thousands apart; the API says large ones as texts. */
export function count(value: number | string): string {
  return typeof value === 'number' ? value.toLocaleString('en') : BigInt(value).toLocaleString('en')
}

/** `1 job`, `2 jobs`. */
export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`
}

/** A size: `3.4 MB`. */
export function size(bytes: number): string {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB']
  let value = bytes
  let unit = 0
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000
    unit += 1
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit] ?? ''}`
}

/** What a value holds, in a line: `to Ada Archer · copies 1`. */
export function summary(value: unknown): string {
  if (value === undefined || value === null) return ''
  if (typeof value !== 'object') return inline(value)
  return cut(
    Object.entries(value)
      .slice(0, 8)
      .map(([name, inner]) => `${name} ${inline(inner)}`)
      .join(' · '),
    200,
  )
}

function inline(value: unknown): string {
  return cut(typeof value === 'string' ? value : (JSON.stringify(value) ?? ''), 80)
}
