import type { MsgHdrs } from '@nats-io/transport-node'

/** The headers of a message by their lower-case names. */
export function headerMap(headers: MsgHdrs | undefined): ReadonlyMap<string, string> {
  const map = new Map<string, string>()
  // As they are kept: `get` looks each name up again, in any spelling.
  for (const [name, [value = '']] of headers ?? []) map.set(name.toLowerCase(), value)
  return map
}
