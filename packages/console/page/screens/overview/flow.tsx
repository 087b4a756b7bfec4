import type { JSX } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import uPlot from 'uplot'
import type { Outbox } from '../../data/types.ts'
import { theme } from '../../theme.ts'

const shownSeconds = 120
// At a sample a second: a page that is left open for a day keeps no more.
const most = shownSeconds

interface Sample {
  readonly at: number
  readonly sequence: bigint
}

/** The rate of publishing, from what the page has seen of the last sequence. */
export function Flow({ outbox }: { readonly outbox: Outbox | undefined }): JSX.Element {
  const samples = useRef<Sample[]>([])
  const [rates, setRates] = useState<readonly [number[], number[]]>([[], []])
  useEffect(() => {
    if (outbox === undefined) return
    samples.current = [
      ...samples.current.slice(-most),
      { at: Date.now() / 1000, sequence: BigInt(outbox.lastSequence) },
    ]
    setRates(ratesOf(samples.current))
  }, [outbox])
  const last = rates[1].at(-1)
  return (
    <figure>
      <Chart rates={rates} />
      <figcaption class="quiet number">
        {last === undefined
          ? 'The first figures come in a moment.'
          : `${Math.round(last)} events/s now`}
      </figcaption>
    </figure>
  )
}

function ratesOf(samples: readonly Sample[]): [number[], number[]] {
  const pairs = samples.slice(1).flatMap((sample, index) => {
    const before = samples[index]
    if (before === undefined || sample.at <= before.at) return []
    return [
      [
        sample.at,
        Math.max(0, Number(sample.sequence - before.sequence)) / (sample.at - before.at),
      ] as const,
    ]
  })
  return [pairs.map(([at]) => at), pairs.map(([, rate]) => rate)]
}

/** The seconds that are shown; before the first sample those until now. */
function spanTo(last: number | null): [number, number] {
  const end = last === null || last === 0 ? Date.now() / 1000 : last
  return [end - shownSeconds, end]
}

function clockOf(seconds: number): string {
  return new Date(seconds * 1000).toTimeString().slice(0, 8)
}

function Chart({ rates }: { readonly rates: readonly [number[], number[]] }): JSX.Element {
  const place = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | undefined>(undefined)
  const shade = theme.value
  useEffect(() => {
    const element = place.current
    if (element === null) return undefined
    const colour = (name: string): string =>
      getComputedStyle(document.documentElement).getPropertyValue(name)
    const axis = {
      stroke: colour('--muted'),
      grid: { stroke: colour('--line'), width: 1 },
      ticks: { show: false },
    }
    const made = new uPlot(
      {
        width: element.clientWidth,
        height: 150,
        legend: { show: false },
        cursor: { show: false },
        scales: {
          x: { range: (_, _first, last) => spanTo(last) },
          y: { range: (_, _least, greatest) => [0, Math.max(1, greatest * 1.2)] },
        },
        axes: [
          { ...axis, values: (_, splits) => splits.map(clockOf), space: 90 },
          { ...axis, size: 44 },
        ],
        series: [
          {},
          {
            stroke: colour('--accent'),
            width: 2,
            fill: `${colour('--accent')}22`,
            points: { show: false },
          },
        ],
      },
      [[], []],
      element,
    )
    plot.current = made
    const observer = new ResizeObserver(() =>
      made.setSize({ width: element.clientWidth, height: 150 }),
    )
    observer.observe(element)
    return () => {
      observer.disconnect()
      made.destroy()
    }
  }, [shade])
  useEffect(() => {
    plot.current?.setData([...rates])
  }, [rates, shade])
  return (
    <div
      ref={place}
      class="chart"
      role="img"
      aria-label="The rate of publishing over the last minutes"
    />
  )
}
