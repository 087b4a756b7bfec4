import { NodeSDK } from '@opentelemetry/sdk-node'

const switches = ['OTEL_EXPORTER_OTLP_ENDPOINT', 'OTEL_TRACES_EXPORTER', 'OTEL_METRICS_EXPORTER']

/**
 * Exports spans and metrics as OpenTelemetry's own variables say: to `OTEL_EXPORTER_OTLP_ENDPOINT`, or to the console
 * with `OTEL_TRACES_EXPORTER=console` and `OTEL_METRICS_EXPORTER=console`. Without any of them it does nothing.
 */
export function startTelemetry(): AsyncDisposable {
  if (!switches.some((name) => process.env[name])) return { [Symbol.asyncDispose]: async () => {} }
  if (process.env['OTEL_EXPORTER_OTLP_ENDPOINT'] === undefined) {
    // What was not asked for would go to a collector on this machine.
    process.env['OTEL_TRACES_EXPORTER'] ??= 'none'
    process.env['OTEL_METRICS_EXPORTER'] ??= 'none'
  }
  process.env['OTEL_LOGS_EXPORTER'] ??= 'none'
  const sdk = new NodeSDK({ serviceName: 'bank' })
  sdk.start()
  return { [Symbol.asyncDispose]: () => sdk.shutdown() }
}
