import { TidemarkError } from 'tidemark'

/** The part of a client of `ioredis` or `iovalkey` that is used. */
export interface IoRedisLike {
  call(command: string, ...args: string[]): Promise<unknown>
  duplicate(): IoRedisLike & {
    subscribe(channel: string): Promise<unknown>
    on(event: 'message', heard: (channel: string, message: string) => void): unknown
    on(event: 'error', heard: (error: Error) => void): unknown
    disconnect(): void
  }
}

/** The part of a client of `redis` that is used. */
export interface NodeRedisLike {
  sendCommand(args: readonly string[]): Promise<unknown>
  duplicate(): NodeRedisLike & {
    connect(): Promise<unknown>
    subscribe(channel: string, heard: (message: string) => void): Promise<unknown>
    on(event: 'error', heard: (error: Error) => void): unknown
    destroy(): void
  }
}

/** A client of Redis or Valkey that is connected, or connects by itself. */
export type RedisClient = IoRedisLike | NodeRedisLike

/** Whether it is one of the two. Both have `sendCommand`, which takes different things. */
function isIoRedis(client: RedisClient): client is IoRedisLike {
  return typeof (client as Partial<IoRedisLike>).call === 'function'
}

/** @throws TidemarkError TIDEMARK_INVALID_OPTION. */
export function requireClient(where: string, client: unknown): asserts client is RedisClient {
  const given = client as Partial<IoRedisLike & NodeRedisLike> | null | undefined
  const sends = typeof given?.call === 'function' || typeof given?.sendCommand === 'function'
  if (sends && typeof given.duplicate === 'function') return
  throw new TidemarkError(
    'TIDEMARK_INVALID_OPTION',
    `${where}: "client" is no client of ioredis, iovalkey or redis`,
    {
      hint: 'Give `new Redis(url)` of ioredis, or `await createClient({ url }).connect()` of redis.',
    },
  )
}

/** Sends a command, through whichever client. */
export function send(client: RedisClient, command: string, ...args: string[]): Promise<unknown> {
  return isIoRedis(client) ? client.call(command, ...args) : client.sendCommand([command, ...args])
}

/**
 * Subscribes on a connection of its own.
 *
 * @returns what ends it.
 */
export async function subscribe(
  client: RedisClient,
  channel: string,
  heard: (message: string) => void,
): Promise<() => void> {
  // Both connect again by themselves; what is missed meanwhile is not told, and an error is no news.
  if (isIoRedis(client)) {
    const connection = client.duplicate()
    connection.on('error', () => {})
    connection.on('message', (_, message) => heard(message))
    try {
      await connection.subscribe(channel)
    } catch (error) {
      connection.disconnect()
      throw error
    }
    return () => connection.disconnect()
  }
  const connection = client.duplicate()
  connection.on('error', () => {})
  try {
    await connection.connect()
    await connection.subscribe(channel, heard)
  } catch (error) {
    connection.destroy()
    throw error
  }
  return () => connection.destroy()
}
