import { context, metrics, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
  type MetricData,
} from '@opentelemetry/sdk-metrics'
import {
  InMemorySpanExporter,
  SimpleSpanProcessor,
  TracerProvider,
  type ReadableSpan,
} from '@opentelemetry/sdk-trace'
import { breachesOf } from './breaches.ts'

/** An SDK that keeps what it is told, and when it is disposed of fails if that broke the contract. */
export class Sdk implements AsyncDisposable {
  readonly #spans = new InMemorySpanExporter()
  readonly #metrics = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
  readonly #waiting = new Set<() => void>()
  readonly #tracing = new TracerProvider({
    spanProcessors: [
      new SimpleSpanProcessor({ exporter: this.#spans }),
      {
        onStart: () => {},
        onEnd: () => this.#tell(),
        forceFlush: async () => {},
        shutdown: async () => {},
      },
    ],
  })
  readonly #metering = new MeterProvider({
    readers: [
      // Collected when a test asks, and never by itself.
      new PeriodicExportingMetricReader({
        exporter: this.#metrics,
        exportIntervalMillis: 3_600_000,
      }),
    ],
  })

  constructor() {
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
    trace.setGlobalTracerProvider(this.#tracing)
    metrics.setGlobalMeterProvider(this.#metering)
  }

  /** The spans that have ended, in that order. */
  get spans(): readonly ReadableSpan[] {
    return this.#spans.getFinishedSpans()
  }

  /** The spans of a name, as soon as there are so many. */
  async spansNamed(name: string, least = 1): Promise<readonly ReadableSpan[]> {
    for (;;) {
      const found = this.spans.filter((span) => span.name === name)
      if (found.length >= least) return found
      await new Promise<void>((resolve) => this.#waiting.add(resolve))
    }
  }

  /** The first span of a name. */
  async spanNamed(name: string): Promise<ReadableSpan> {
    const [first] = await this.spansNamed(name)
    return first as ReadableSpan
  }

  /** What a collection finds now. */
  async collect(): Promise<readonly MetricData[]> {
    this.#metrics.reset()
    await this.#metering.forceFlush()
    return this.#metrics
      .getMetrics()
      .flatMap(({ scopeMetrics }) => scopeMetrics.flatMap(({ metrics: all }) => all))
  }

  /** The value of a metric's point that has at least these attributes: of a histogram, how many values it has. */
  async valueOf(
    name: string,
    attributes: Readonly<Record<string, string>> = {},
  ): Promise<number | undefined> {
    const found = (await this.collect()).find(({ descriptor }) => descriptor.name === name)
    const point = found?.dataPoints.find((one) =>
      Object.entries(attributes).every(([key, value]) => one.attributes[key] === value),
    )
    if (point === undefined) return undefined
    return typeof point.value === 'number' ? point.value : point.value.count
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const breaches = breachesOf(this.spans, await this.collect())
    await this.#tracing.shutdown()
    await this.#metering.shutdown()
    trace.disable()
    metrics.disable()
    context.disable()
    if (breaches.length > 0) throw new Error(breaches.join('\n'))
  }

  #tell(): void {
    // The exporter is told in the same turn, by the processor before this one or later by its promise.
    setImmediate(() => {
      for (const resolve of this.#waiting) resolve()
      this.#waiting.clear()
    })
  }
}
