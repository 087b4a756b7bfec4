import type { MsgHdrs } from '@nats-io/transport-node'

/** The headers of a message by their lower-case names. */
export function headerMap(headers: MsgHdrs | undefined): ReadonlyMap<string, string> {
  if (headers === undefined) return new Map()
  return new Map(headers.keys().map((name) => [name.toLowerCase(), headers.get(name)]))
}
