import type { JSX } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import uPlot from 'uplot'
import { theme } from '../../theme.ts'

/** A line over time. */
export function Chart({
  points,
  seconds,
  label,
}: {
  /** Times in seconds of the epoch, and values. */
  readonly points: readonly [number[], number[]]
  /** How many seconds are shown, up to the last point. */
  readonly seconds: number
  readonly label: string
}): JSX.Element {
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
          x: { range: (_, _first, last) => spanTo(last, seconds) },
          y: { range: (_, _least, greatest) => [0, Math.max(1, greatest * 1.2)] },
        },
        axes: [
          {
            ...axis,
            values: (_, splits) => splits.map((split) => clockOf(split, seconds)),
            space: 90,
          },
          { ...axis, size: 52 },
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
  }, [shade, seconds])
  useEffect(() => {
    plot.current?.setData([...points])
  }, [points, shade, seconds])
  return <div ref={place} class="chart" role="img" aria-label={label} />
}

/** The seconds that are shown; before the first point those until now. */
function spanTo(last: number | null, seconds: number): [number, number] {
  const end = last === null || last === 0 ? Date.now() / 1000 : last
  return [end - seconds, end]
}

function clockOf(seconds: number, shown: number): string {
  return new Date(seconds * 1000).toTimeString().slice(0, shown > 3600 ? 5 : 8)
}
