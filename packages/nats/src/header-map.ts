import type { MsgHdrs } from '@nats-io/transport-node'

/** The headers of a message by their lower-case names. */
export function headerMap(headers: MsgHdrs | undefined): ReadonlyMap<string, string> {
  const map = new Map<string, string>()
  // As they are kept: `get` looks each name up again, in any spelling.
  for (const entry of headers ?? []) map.set(lowerCase(entry[0]), entry[1][0] ?? '')
  return map
}

// The same few in each message.
const spellings = new Map<string, string>()
const mostSpellings = 1000

function lowerCase(name: string): string {
  let lower = spellings.get(name)
  if (lower === undefined) {
    lower = name.toLowerCase()
    if (spellings.size < mostSpellings) spellings.set(name, lower)
  }
  return lower
}
