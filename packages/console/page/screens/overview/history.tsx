import type { JSX } from 'preact'
import { useMemo, useState } from 'preact/hooks'
import { apiUrl } from '../../data/client.ts'
import type { Sample } from '../../data/types.ts'
import { useData } from '../../data/use-data.ts'
import { SelectField } from '../../parts/field.tsx'
import { Loaded } from '../../parts/loaded.tsx'
import { Card, Empty } from '../../parts/page.tsx'
import { Chart } from './chart.tsx'

const hours = 6
const views = [
  ['published', 'published a minute'],
  ['handled', 'handled a minute'],
  ['lag', 'lag in seconds'],
  ['queued', 'jobs queued'],
  ['failed', 'jobs failed'],
] as const
type View = (typeof views)[number][0]

/** How things stood in the last hours. */
export function HistoryCard(): JSX.Element {
  const [view, setView] = useState<View>('published')
  const data = useData<{ samples: readonly Sample[] }>(apiUrl(['history']), 30_000)
  const samples = data.value?.samples
  const points = useMemo(() => pointsOf(samples ?? [], view), [samples, view])
  return (
    <Card title={`The last ${hours} hours`}>
      <SelectField
        label="Show"
        value={view}
        options={views}
        onChange={(chosen) => setView(chosen as View)}
      />
      <Loaded data={data}>
        {({ samples: found }) =>
          found.length < 2 ? (
            <Empty title="No history yet">Workers write down how things stand once a minute.</Empty>
          ) : (
            <Chart
              points={points}
              seconds={hours * 3600}
              label={`The last hours: ${views.find(([name]) => name === view)?.[1] ?? ''}`}
            />
          )
        }
      </Loaded>
    </Card>
  )
}

function pointsOf(samples: readonly Sample[], view: View): [number[], number[]] {
  const times = samples.map(({ at }) => Date.parse(at) / 1000)
  if (view === 'lag') return [times, samples.map(({ lagSeconds }) => lagSeconds)]
  if (view === 'queued') return [times, samples.map(({ queued }) => queued)]
  if (view === 'failed') return [times, samples.map(({ failed }) => failed)]
  const of = (sample: Sample): number =>
    Number(view === 'published' ? sample.lastSequence : sample.handled)
  const rates = samples.slice(1).map((sample, index) => {
    const before = samples[index] as Sample
    const minutes = (Date.parse(sample.at) - Date.parse(before.at)) / 60_000
    // A listener that was sent back goes below what it had.
    return minutes <= 0 ? 0 : Math.max(0, of(sample) - of(before)) / minutes
  })
  return [times.slice(1), rates]
}
