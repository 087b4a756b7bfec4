import { once } from 'node:events'
import type { Logger } from 'tidemark'
import { limitNames, type ServiceLimits } from '../served/limits.ts'
import { serveState } from '../served/state-service.ts'
import { openBackend } from './open-backend.ts'
import { readSettings, type SettingsSources } from './read-settings.ts'

/** How a service is run until it is to stop. */
export interface RunServiceOptions extends SettingsSources {
  readonly logger: Logger
  /** Ends it: requests under way are answered first. */
  readonly signal: AbortSignal
  /** Called when clients can connect. Defaults to nothing. */
  readonly ready?: (socket: string) => void
}

/**
 * Runs a state service as its settings say, until the signal aborts. It does not wait for its backend: clients are told
 * that it is away, and `health` says so.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OPTION or TIDEMARK_STATE_SOCKET_UNUSABLE.
 */
export async function runService(options: RunServiceOptions): Promise<void> {
  const { logger, signal, ready } = options
  const settings = await readSettings(options)
  await using opened = await openBackend(settings, options.env ?? {})
  const limits = Object.fromEntries(
    limitNames.flatMap((name) => (settings[name] === undefined ? [] : [[name, settings[name]]])),
  ) as Partial<ServiceLimits>
  const { socket, sweepEvery } = settings
  await using service = await serveState({
    store: opened.store,
    socket,
    logger,
    ...(sweepEvery === undefined ? {} : { sweepEvery: Number(sweepEvery) }),
    ...limits,
  })
  const health = await opened.store.health()
  const fields = { socket: service.socket, backend: health.backend, pid: process.pid }
  if (health.ok) logger.info(fields, 'the state service runs')
  else logger.warn({ ...fields, error: health.error }, 'the state service runs without its backend')
  ready?.(service.socket)
  if (!signal.aborted) await once(signal, 'abort')
  logger.info(fields, 'the state service stops: requests under way are answered')
}
