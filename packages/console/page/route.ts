import { signal } from '@preact/signals'

/**
 * Where the reader is. It stands behind the `#`: so every place has a link of its own, and the server, whatever stands
 * before it and whatever prefix that adds or takes away, only ever serves one page.
 */
export interface Route {
  /** The parts of the path: `['jobs', '0192…']`. */
  readonly path: readonly string[]
  readonly query: URLSearchParams
}

export const route = signal<Route>(read())

/** The link to a place. What is undefined or empty is left out of the query. */
export function link(
  path: readonly string[],
  query: Readonly<Record<string, string | undefined>> = {},
): string {
  const given = Object.entries(query).filter((entry): entry is [string, string] => !!entry[1])
  const search = new URLSearchParams(given).toString()
  return `#/${path.map(encodeURIComponent).join('/')}${search === '' ? '' : `?${search}`}`
}

/** Goes to a place. */
export function go(to: string): void {
  location.hash = to
}

/** Changes some of the query and stays at the same place; what is undefined is taken out. */
export function change(changes: Readonly<Record<string, string | undefined>>): void {
  const { path, query } = route.value
  go(link(path, { ...Object.fromEntries(query), ...changes }))
}

/** Begins to follow the address. */
export function followAddress(): void {
  addEventListener('hashchange', () => {
    route.value = read()
  })
  // Links are relative to the base of the page, which is not its address where that has no slash at its end.
  document.addEventListener('click', (event) => {
    const anchor = event.target instanceof Element ? event.target.closest('a[href^="#"]') : null
    const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey
    const to = anchor?.getAttribute('href')
    if (!plain || typeof to !== 'string' || to === '#main') return
    event.preventDefault()
    go(to)
  })
}

function read(): Route {
  const [path = '', query = ''] = location.hash.replace(/^#?\/?/u, '').split(/\?(.*)/su)
  const parts = path.split('/').filter((part) => part !== '')
  return { path: parts.map(decoded), query: new URLSearchParams(query) }
}

/** A link that somebody has cut in the middle must not break the page. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}
