import { randomUUID } from 'node:crypto'
import { Socket } from 'node:net'
import type pg from 'pg'
import pgListen from 'pg-listen'
import type { Executor } from '../../database/executor.ts'
import { errorCodeOf } from '../../errors/postgres-error.ts'
import type { Logger } from '../../telemetry/logger.ts'
import { wait, withTimeout } from './wait.ts'

/** How the LISTEN connection is supervised. All times in milliseconds. */
export interface NotificationOptions {
  readonly config: pg.ClientConfig
  readonly channel: string
  readonly logger: Logger
  /** Another way to the server. */
  readonly database: Executor
  /** How often the connection proves that it hears itself. */
  readonly pingInterval: number
  /** How long it may take to connect, to LISTEN, and for a ping to come back. */
  readonly timeout: number
  /** Called for each notification, and after each (re)connection: something may have been missed. */
  onRing(): void
  /** Called when the connection is lost or found deaf. */
  onDeaf(): void
}

const firstBackoff = 100
const longestBackoff = 5_000
// How long a connection may take to say goodbye before its socket is cut.
const goodbye = 500
// Of "too many notifications in the NOTIFY queue".
const queueFull = '54000'

/**
 * The doorbell's ear: one LISTEN connection that is never trusted. pg-listen stops for good when its retries
 * are over, stays deaf when LISTEN failed, and misses half-open sockets; so its own retries are off, any
 * trouble at all means a new subscriber, and a ping through the server proves that this one hears.
 */
export class Notifications {
  readonly #options: NotificationOptions
  readonly #identity: string = randomUUID()
  readonly #abort = new AbortController()
  #backoff = firstBackoff
  #done: Promise<void> | undefined
  #hears = false
  /** Whether a pooler on the way has refused settings in the greeting. */
  #plain = false

  constructor(options: NotificationOptions) {
    this.#options = options
  }

  /** Whether a notification would be heard, as far as is known. */
  get hears(): boolean {
    return this.#hears
  }

  /** Starts listening in the background. */
  start(): void {
    this.#done ??= this.#run()
  }

  async close(): Promise<void> {
    this.#abort.abort()
    await this.#done
  }

  async #run(): Promise<void> {
    const { signal } = this.#abort
    while (!signal.aborted) {
      const failure = await this.#listen(signal).catch((error: unknown) => error)
      // Tried again without them, like after any other trouble.
      if (/startup parameter/u.test(String(failure))) this.#plain = true
      if (this.#hears) this.#options.onDeaf()
      this.#hears = false
      if (signal.aborted) break
      this.#options.logger.warn(
        { err: failure, retryIn: this.#backoff },
        'the doorbell is disconnected; polling until it is back',
      )
      if (errorCodeOf(failure) === queueFull) await this.#askForRoom()
      await wait(this.#backoff * (0.5 + Math.random()), signal)
      this.#backoff = Math.min(this.#backoff * 2, longestBackoff)
    }
  }

  /**
   * A queue of notifications that was full stays so for those who send, until somebody asks how full it is: only then the
   * server looks who has yet to read it. Publishers ask when somebody is armed, and nobody is who does not hear.
   */
  async #askForRoom(): Promise<void> {
    const { database, timeout } = this.#options
    const asked = database.query('SELECT pg_notification_queue_usage()')
    await withTimeout(timeout, 'asking for room', asked).catch(() => {})
  }

  /** One subscriber's life: returns or throws when it is over, for whatever reason. */
  async #listen(signal: AbortSignal): Promise<void> {
    const { channel, timeout, pingInterval } = this.#options
    // Our own socket: a half-open connection does not end when it is asked to.
    const socket = new Socket()
    const subscriber = pgListen.default(
      {
        ...(this.#plain ? this.#options.config : withSettings(this.#options.config)),
        stream: () => socket,
        connectionTimeoutMillis: timeout,
        query_timeout: timeout,
      },
      // Payloads are whatever others send: they are compared, never parsed.
      { paranoidChecking: false, retryLimit: 1, parse: String, serialize: String },
    )
    const trouble = Promise.withResolvers<never>()
    trouble.promise.catch(() => {})
    const onAbort = (): void => trouble.reject(new Error('closed'))
    signal.addEventListener('abort', onAbort, { once: true })
    let echoed = (): void => {}
    subscriber.events.on('error', (error: Error) => trouble.reject(error))
    subscriber.events.on('notification', ({ payload }: { payload?: unknown }) => {
      if (payload === `ping ${this.#identity}`) echoed()
      else if (typeof payload !== 'string' || !payload.startsWith('ping ')) this.#options.onRing()
    })
    const orTrouble = <T>(what: string, promise: Promise<T> | undefined): Promise<T | undefined> =>
      withTimeout(timeout, what, Promise.race([promise, trouble.promise]))
    try {
      await orTrouble('connecting', subscriber.connect())
      await orTrouble('LISTEN', subscriber.listenTo(channel))
      while (!signal.aborted) {
        const echo = new Promise<void>((resolve) => {
          echoed = resolve
        })
        await orTrouble('NOTIFY', subscriber.notify(channel, `ping ${this.#identity}`))
        await orTrouble('hearing itself', echo)
        if (!this.#hears) {
          this.#hears = true
          this.#backoff = firstBackoff
          this.#options.onRing()
        }
        await Promise.race([wait(pingInterval, signal), trouble.promise])
      }
    } finally {
      signal.removeEventListener('abort', onAbort)
      subscriber.events.removeAllListeners('error')
      subscriber.events.removeAllListeners('notification')
      subscriber.events.on('error', () => {})
      await withTimeout(goodbye, 'closing', Promise.resolve(subscriber.close())).catch(() => {})
      socket.destroy()
    }
  }
}

// It is idle for as long as nothing happens, whatever a role, a database or the server allows others; and the server
// notices when this host has vanished.
const settings = {
  idle_session_timeout: '0',
  statement_timeout: '0',
  tcp_keepalives_idle: '10',
  tcp_keepalives_interval: '5',
  tcp_keepalives_count: '4',
  tcp_user_timeout: '30000',
}

/** The settings travel in the greeting; what the application asks for counts for more. */
function withSettings(config: pg.ClientConfig): pg.ClientConfig {
  const ours = Object.entries(settings).map(([name, value]) => `-c ${name}=${value}`)
  // oxlint-disable-next-line node/no-process-env -- what the driver reads where there are no options
  const asked = config.options ?? process.env['PGOPTIONS']
  return { ...config, options: [...ours, asked].join(' ').trim() }
}
