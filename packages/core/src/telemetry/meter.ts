import type {
  BatchObservableResult,
  Counter,
  Histogram,
  Meter,
  Observable,
  MetricOptions,
} from '@opentelemetry/api'
import { api } from './api.ts'
import {
  metricContracts,
  type CounterName,
  type GaugeName,
  type HistogramName,
} from './metric-contracts.ts'
import { quietly } from './tracer.ts'

/** What a point says beside its value. */
export type PointAttributes = Readonly<Record<string, string>>

/** Gives a gauge its present value. */
export type Observe = (gauge: GaugeName, value: number, attributes: PointAttributes) => void

/** Looks at what gauges show; called when they are collected. */
export type GaugeSource = (observe: Observe) => Promise<void>

/** The instruments made with one meter provider. */
class Instruments {
  readonly provider: unknown
  readonly #counters = new Map<CounterName, Counter>()
  readonly #histograms = new Map<HistogramName, Histogram>()
  readonly #meter: Meter

  constructor(provider: unknown, meter: Meter) {
    this.provider = provider
    this.#meter = meter
    const gauges = new Map<string, Observable>()
    for (const [name, { kind, unit, description }] of Object.entries(metricContracts)) {
      if (kind !== 'gauge') continue
      gauges.set(name, meter.createObservableGauge(name, { unit, description }))
    }
    meter.addBatchObservableCallback((result) => observeAll(result, gauges), [...gauges.values()])
  }

  counter(name: CounterName): Counter {
    let counter = this.#counters.get(name)
    if (counter === undefined) {
      counter = this.#meter.createCounter(name, optionsOf(name))
      this.#counters.set(name, counter)
    }
    return counter
  }

  histogram(name: HistogramName): Histogram {
    let histogram = this.#histograms.get(name)
    if (histogram === undefined) {
      histogram = this.#meter.createHistogram(name, optionsOf(name))
      this.#histograms.set(name, histogram)
    }
    return histogram
  }
}

function optionsOf(name: CounterName | HistogramName): MetricOptions {
  const { unit, description, buckets } = metricContracts[name]
  const advice = buckets === undefined ? {} : { advice: { explicitBucketBoundaries: [...buckets] } }
  return { unit, description, ...advice }
}

const sources = new Set<GaugeSource>()
let last: Instruments | undefined
let noMetricsOf: unknown

async function observeAll(
  result: BatchObservableResult,
  gauges: ReadonlyMap<string, Observable>,
): Promise<void> {
  const show: Observe = (gauge, value, given) =>
    result.observe(gauges.get(gauge) as Observable, value, given)
  // A source that cannot look, because its database is away, must not keep the others from it.
  await Promise.allSettled([...sources].map((source) => source(show)))
}

/**
 * The instruments of the SDK that is registered now; undefined without one. The API has no meter that waits for its
 * SDK, as it has tracers that do, so each use asks which one it is.
 */
function instruments(): Instruments | undefined {
  if (api === undefined) return undefined
  const provider = api.metrics.getMeterProvider()
  if (provider === noMetricsOf) return undefined
  if (provider !== last?.provider) {
    const meter = provider.getMeter('tidemark')
    if (meter === api.createNoopMeter()) {
      noMetricsOf = provider
      return undefined
    }
    last = new Instruments(provider, meter)
  }
  return last
}

/** Whether anybody collects metrics. */
export function isMetered(): boolean {
  return instruments() !== undefined
}

/** Adds to a counter. */
export function count(name: CounterName, value: number, given: PointAttributes): void {
  quietly(() =>
    instruments()
      ?.counter(name)
      .add(value, { ...given }),
  )
}

/** Adds a value to a distribution. */
export function record(name: HistogramName, value: number, given: PointAttributes): void {
  quietly(() =>
    instruments()
      ?.histogram(name)
      .record(value, { ...given }),
  )
}

/** Shows gauges from now on; answers how to stop. */
export function observe(source: GaugeSource): () => void {
  sources.add(source)
  instruments()
  return () => sources.delete(source)
}

/** Notices an SDK that was registered after the gauges were: to be called now and then. */
export function noticeMetering(): void {
  instruments()
}
