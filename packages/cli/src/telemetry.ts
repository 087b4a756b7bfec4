import type { Logger } from 'tidemark'

/** Any of these asks for telemetry; the values are OpenTelemetry's own. */
const switches = [
  'OTEL_EXPORTER_OTLP_ENDPOINT',
  'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT',
  'OTEL_EXPORTER_OTLP_METRICS_ENDPOINT',
  'OTEL_TRACES_EXPORTER',
  'OTEL_METRICS_EXPORTER',
  'OTEL_CONFIG_FILE',
]
const signals = ['TRACES', 'METRICS', 'LOGS']

/** How long the last spans and metrics may take to leave, in milliseconds. */
const flushTimeout = 5_000

/**
 * Starts the OpenTelemetry SDK if the environment asks for it; sends what is left when it is disposed. A worker that
 * cannot send telemetry works all the same, and says so.
 *
 * @param env - the environment of the process: the SDK reads that itself, and what is missing is added to it.
 */
export async function startTelemetry(
  env: Record<string, string | undefined>,
  logger: Logger,
): Promise<AsyncDisposable> {
  const asked = switches.some((name) => !['', 'none', undefined].includes(env[name]))
  if (!asked || env['OTEL_SDK_DISABLED'] === 'true') return nothing
  const sdk = await load(logger)
  if (sdk === undefined) return nothing
  for (const signal of signals) {
    const endpoint = `OTEL_EXPORTER_OTLP_${signal}_ENDPOINT`
    const wanted = env['OTEL_EXPORTER_OTLP_ENDPOINT'] ?? env[endpoint] ?? env['OTEL_CONFIG_FILE']
    // What was not asked for would go to a collector on this machine. Logs stay where they are: on stderr.
    if (wanted === undefined || signal === 'LOGS') env[`OTEL_${signal}_EXPORTER`] ??= 'none'
    else if (signal === 'METRICS') env['OTEL_METRICS_EXPORTER'] ??= 'otlp'
  }
  const named =
    env['OTEL_SERVICE_NAME'] ?? env['OTEL_RESOURCE_ATTRIBUTES']?.match(/service\.name=/u)
  const running = new sdk.NodeSDK(
    named === undefined || named === null ? { serviceName: 'tidemark-worker' } : {},
  )
  running.start()
  return { [Symbol.asyncDispose]: () => flush(running.shutdown(), logger) }
}

const nothing: AsyncDisposable = { [Symbol.asyncDispose]: async () => {} }

async function load(logger: Logger): Promise<typeof import('@opentelemetry/sdk-node') | undefined> {
  try {
    return await import('@opentelemetry/sdk-node')
  } catch (error) {
    logger.warn(
      { err: error },
      'the environment asks for telemetry (OTEL_*), but @opentelemetry/sdk-node cannot be loaded: nothing is sent. Install it: npm install @opentelemetry/sdk-node @opentelemetry/api',
    )
    return undefined
  }
}

/** Never fails and never lasts: a collector that is away must not keep a worker from ending. */
async function flush(shutdown: Promise<void>, logger: Logger): Promise<void> {
  const limit = Promise.withResolvers<never>()
  const timer = setTimeout(
    () => limit.reject(new Error(`it took more than ${flushTimeout} ms`)),
    flushTimeout,
  )
  try {
    await Promise.race([shutdown, limit.promise])
  } catch (error) {
    logger.warn({ err: error }, 'the last spans and metrics could not be sent')
  } finally {
    clearTimeout(timer)
  }
}
