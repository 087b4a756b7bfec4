/** A client of `ioredis` or `iovalkey`, as far as it is needed here. */
export interface IoRedisCaller {
  call(command: string, ...given: string[]): Promise<unknown>
}

/** A client of `redis`, as far as it is needed here. */
export interface NodeRedisCaller {
  sendCommand(given: readonly string[]): Promise<unknown>
}

/** A client that is connected to Redis or Valkey. */
export type RedisCaller = IoRedisCaller | NodeRedisCaller

/** Whether something can be called so. */
export function isRedisCaller(client: unknown): client is RedisCaller {
  const { call, sendCommand } = (client ?? {}) as Partial<IoRedisCaller & NodeRedisCaller>
  return typeof call === 'function' || typeof sendCommand === 'function'
}

/** Runs a script in Redis, with a client of either kind. */
export function evaluate(
  client: RedisCaller,
  script: string,
  keys: readonly string[],
  given: readonly string[],
): Promise<unknown> {
  const all = [script, String(keys.length), ...keys, ...given]
  // Those of ioredis have `sendCommand`, too, and it takes something else.
  return 'call' in client ? client.call('EVAL', ...all) : client.sendCommand(['EVAL', ...all])
}
