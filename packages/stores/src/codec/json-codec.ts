import { decodeValue, encodeValue, TidemarkError } from 'tidemark'
import type { StateCodec } from './codec.ts'

/**
 * Values as superjson writes them, `{"json": …, "meta": …}`: readable for SQL and other programs, and exact for Date,
 * bigint, Map, Set, undefined, NaN, -0, bytes and errors.
 */
export const jsonCodec: StateCodec = {
  bindsPlace: false,
  encode(value, { key }) {
    const { json, meta } = encodeValue(`the value of "${key}"`, value)
    return meta === null ? `{"json":${json}}` : `{"json":${json},"meta":${meta}}`
  },
  decode(body, { key }) {
    try {
      const { json, meta } = JSON.parse(body) as { json: unknown; meta?: unknown }
      return decodeValue(json, meta)
    } catch (cause) {
      throw new TidemarkError('TIDEMARK_STATE_UNREADABLE', `the value of "${key}" is not JSON`, {
        cause,
        details: { key },
      })
    }
  },
}
