import type { TopLevelSpec } from 'vega-lite'
import type { Measured } from './measure.ts'

/** A chart, drawn as `<benchmark>-<name>.svg`. */
export interface Chart {
  /** In kebab-case; unique within the benchmark. */
  readonly name: string
  readonly title: string
  /** What vega-lite draws. */
  readonly spec: TopLevelSpec
}

/** A point of a line. */
export interface Point {
  readonly series: string
  readonly x: number
  readonly y: number
}

/** An axis: what it shows, with its unit, and how. */
export interface Axis {
  readonly title: string
  readonly scale?: 'linear' | 'log'
}

const width = 560

/** Lines with a mark at each point; a line for each series, in the order in which they first appear. */
export function lineChart(
  name: string,
  title: string,
  chart: {
    readonly x: Axis
    readonly y: Axis
    readonly points: readonly Point[]
    readonly dots?: boolean
  },
): Chart {
  const { x, y, points, dots = true } = chart
  const series = [...new Set(points.map((point) => point.series))]
  const ticks = [...new Set(points.map((point) => point.x))]
  const spec: TopLevelSpec = {
    width,
    height: 300,
    title,
    data: { values: [...points] },
    mark: { type: 'line', point: dots, strokeWidth: 2 },
    encoding: {
      x: {
        field: 'x',
        type: 'quantitative',
        title: x.title,
        scale: x.scale === 'log' ? { type: 'log', base: 2 } : { zero: true },
        // On a logarithmic axis the points themselves are the ticks.
        axis: x.scale === 'log' ? { values: ticks, format: ',d', grid: false } : { grid: false },
      },
      y: {
        field: 'y',
        type: 'quantitative',
        title: y.title,
        scale: y.scale === 'log' ? { type: 'log' } : { zero: true },
        axis: { format: '~s' },
      },
      color: {
        field: 'series',
        type: 'nominal',
        sort: series,
        title: null,
        legend: legend(series),
      },
      ...(dots
        ? {
            shape: {
              field: 'series',
              type: 'nominal',
              sort: series,
              title: null,
              legend: legend(series),
            },
          }
        : {}),
    },
  }
  return { name, title, spec }
}

/** A bar for each case, with a line from its lowest to its highest round. */
export function ratesChart(
  name: string,
  title: string,
  measured: readonly Measured[],
  unit = 'a second',
): Chart {
  const values = measured.map((one) => ({
    name: one.name.replaceAll('`', ''),
    median: one.median,
    min: one.min,
    max: one.max,
  }))
  const y = {
    field: 'name',
    type: 'nominal',
    sort: null,
    title: null,
    axis: { labelLimit: 420 },
  } as const
  const spec: TopLevelSpec = {
    width: 420,
    title,
    data: { values },
    layer: [
      {
        mark: { type: 'bar', color: '#4c78a8' },
        encoding: {
          y,
          x: { field: 'median', type: 'quantitative', title: unit, axis: { format: '~s' } },
        },
      },
      {
        mark: { type: 'rule', color: '#222', strokeWidth: 1.5 },
        encoding: {
          y,
          x: { field: 'min', type: 'quantitative' },
          x2: { field: 'max' },
        },
      },
    ],
  }
  return { name, title, spec }
}

/** The legend below the picture, where long names have room. */
function legend(series: readonly string[]) {
  const columns = Math.max(...series.map((one) => one.length)) > 24 ? 2 : 3
  return { orient: 'bottom', columns, labelLimit: 400, symbolType: 'stroke' } as const
}
