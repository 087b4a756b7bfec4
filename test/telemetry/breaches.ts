import { SpanKind } from '@opentelemetry/api'
import { DataPointType, type MetricData } from '@opentelemetry/sdk-metrics'
import type { ReadableSpan } from '@opentelemetry/sdk-trace'
import { metricContracts } from '../../packages/core/src/telemetry/metric-contracts.ts'
import { spanContracts } from '../../packages/core/src/telemetry/span-contracts.ts'

const kinds = {
  counter: DataPointType.SUM,
  histogram: DataPointType.HISTOGRAM,
  gauge: DataPointType.GAUGE,
} as const
const spanKinds = {
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
  internal: SpanKind.INTERNAL,
} as const

/** How spans and metrics of Tidemark's differ from what their contracts say; nothing, if they don't. */
export function breachesOf(
  spans: readonly Pick<ReadableSpan, 'name' | 'kind' | 'attributes' | 'instrumentationScope'>[],
  metrics: readonly MetricData[],
): readonly string[] {
  const ours = spans.filter((span) => span.instrumentationScope.name === 'tidemark')
  return [...ours.flatMap(spanBreaches), ...metrics.flatMap(metricBreaches)]
}

function spanBreaches({
  name,
  kind,
  attributes,
}: Pick<ReadableSpan, 'name' | 'kind' | 'attributes'>): readonly string[] {
  const contract = Object.entries(spanContracts).find(
    ([word]) => name === word || name.startsWith(`${word} `),
  )?.[1]
  if (contract === undefined) return [`no contract has a span named "${name}"`]
  return [
    ...(kind === spanKinds[contract.kind] ? [] : [`"${name}" is not a ${contract.kind} span`]),
    ...strangers(name, attributes, contract.attributes),
  ]
}

function metricBreaches({ descriptor, dataPointType, dataPoints }: MetricData): readonly string[] {
  const { name, unit, description } = descriptor
  const contract = Object.entries(metricContracts).find(([known]) => known === name)?.[1]
  if (contract === undefined) return [`no contract has a metric named "${name}"`]
  return [
    ...(dataPointType === kinds[contract.kind] ? [] : [`"${name}" is not a ${contract.kind}`]),
    ...(unit === contract.unit ? [] : [`"${name}" is in ${unit}, not in ${contract.unit}`]),
    ...(description === contract.description ? [] : [`"${name}" says something else`]),
    ...dataPoints.flatMap((point) => strangers(name, point.attributes, contract.attributes)),
  ]
}

function strangers(of: string, attributes: object, known: readonly string[]): readonly string[] {
  return Object.keys(attributes)
    .filter((key) => !known.includes(key))
    .map((key) => `"${of}" has the attribute "${key}", which is not in its contract`)
}
