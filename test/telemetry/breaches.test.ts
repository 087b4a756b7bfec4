import { SpanKind } from '@opentelemetry/api'
import { AggregationTemporality, DataPointType, type MetricData } from '@opentelemetry/sdk-metrics'
import { expect, test } from 'vitest'
import { breachesOf } from './breaches.ts'

const instrumentationScope = { name: 'tidemark' }

test('a span or metric that breaks its contract is found', () => {
  const spans = [
    { name: 'publish test.noted', kind: SpanKind.INTERNAL, attributes: {}, instrumentationScope },
    { name: 'juggle', kind: SpanKind.INTERNAL, attributes: {}, instrumentationScope },
    {
      name: 'process ledger',
      kind: SpanKind.CONSUMER,
      attributes: { 'user.name': 'x' },
      instrumentationScope,
    },
    { name: 'SELECT', kind: SpanKind.CLIENT, attributes: {}, instrumentationScope: { name: 'pg' } },
  ]
  const time = [0, 0] as [number, number]
  const metric = (name: string, unit: string, attributes: Record<string, string>): MetricData => ({
    descriptor: {
      name,
      unit,
      description: 'Events set aside: parked, skipped, or waiting behind one that is parked.',
      valueType: 1,
    },
    aggregationTemporality: AggregationTemporality.CUMULATIVE,
    dataPointType: DataPointType.SUM,
    isMonotonic: true,
    dataPoints: [{ startTime: time, endTime: time, attributes, value: 1 }],
  })
  const metrics = [
    metric('tidemark.dead_letters', '{event}', { 'tidemark.schema': 'tidemark' }),
    metric('tidemark.dead_letters', 's', { 'user.name': 'x' }),
    metric('tidemark.juggling', 's', {}),
  ]
  expect(breachesOf(spans, metrics)).toEqual([
    '"publish test.noted" is not a producer span',
    'no contract has a span named "juggle"',
    '"process ledger" has the attribute "user.name", which is not in its contract',
    '"tidemark.dead_letters" is in s, not in {event}',
    '"tidemark.dead_letters" has the attribute "user.name", which is not in its contract',
    'no contract has a metric named "tidemark.juggling"',
  ])
})
