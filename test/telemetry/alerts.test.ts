import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { metricContracts } from '../../packages/core/src/telemetry/metric-contracts.ts'

const docs = new URL('../../docs/', import.meta.url)

/** The name that a metric has in Prometheus, by OpenTelemetry's rules. */
function prometheusName(name: string, kind: string, unit: string): string {
  const base = name.replaceAll('.', '_')
  if (kind === 'counter') return `${base}_total`
  if (unit === 's') return `${base}_seconds`
  return unit === '1' ? `${base}_ratio` : base
}

test('the alert rules ask for metrics and attributes that there are, and name sections of the runbook', async () => {
  const rules = await readFile(new URL('alerts.yaml', docs), 'utf8')
  const names = new Set<string>()
  const attributes = new Set<string>()
  for (const [name, { kind, unit, attributes: own }] of Object.entries(metricContracts)) {
    names.add(prometheusName(name, kind, unit))
    for (const attribute of own) attributes.add(attribute.replaceAll('.', '_'))
  }
  const expressions = [...rules.matchAll(/^\s+expr: (.*)$/gmu)].map(([, expression]) => expression)
  expect(expressions.length).toBeGreaterThan(4)
  const used = new Set(
    expressions.flatMap((expression) => expression?.match(/\b(?:tidemark|messaging)_\w+/gu)),
  )
  for (const word of used) expect([...names, ...attributes]).toContain(word)

  const operating = await readFile(new URL('operating.md', docs), 'utf8')
  const anchors = [...operating.matchAll(/^#+ (.*)$/gmu)].map(([, title = '']) =>
    title
      .toLowerCase()
      .replaceAll(/[^\w\s-]/gu, '')
      .replaceAll(' ', '-'),
  )
  for (const [, anchor] of rules.matchAll(/operating\.md#([\w-]+)/gu)) {
    expect(anchors).toContain(anchor)
  }
})
