import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as vega from 'vega'
import { compile, type Config } from 'vega-lite'
import type { Chart } from './chart.ts'

// White beneath, so that a plot can be read on a dark page too.
const config: Config = {
  background: 'white',
  padding: 12,
  font: 'Helvetica, Arial, sans-serif',
  title: { fontSize: 14, anchor: 'start' },
  axis: { labelFontSize: 12, titleFontSize: 12, titleFontWeight: 'normal' },
  legend: { labelFontSize: 12 },
  view: { stroke: null },
}

// Without a browser or a canvas, vega guesses how wide text is, and guesses half as much again: names would be cut
// off that have room. What it lets a program replace is not in its types.
const { textMetrics } = vega as unknown as {
  textMetrics: { width: (item: { readonly fontSize?: number }, text: unknown) => number }
}
textMetrics.width = ({ fontSize = 11 }, text) => Math.ceil(0.55 * fontSize * String(text).length)

/** Draws a chart as SVG, without a browser. */
export async function draw({ spec }: Chart): Promise<string> {
  const view = new vega.View(vega.parse(compile(spec, { config }).spec), { renderer: 'none' })
  try {
    return `${await view.toSVG()}\n`
  } finally {
    view.finalize()
  }
}

/**
 * Draws the charts of a benchmark as `<benchmark>-<chart>.svg`, and removes those that it no longer has.
 *
 * @returns the files.
 */
export async function drawCharts(
  folder: string,
  benchmark: string,
  charts: readonly Chart[],
): Promise<string[]> {
  await mkdir(folder, { recursive: true })
  const drawn = await Promise.all(
    charts.map(async (chart) => ({
      file: `${benchmark}-${chart.name}.svg`,
      svg: await draw(chart),
    })),
  )
  const kept = new Set(drawn.map(({ file }) => file))
  const stale = (await readdir(folder)).filter(
    (file) => file.startsWith(`${benchmark}-`) && file.endsWith('.svg') && !kept.has(file),
  )
  await Promise.all(stale.map((file) => rm(join(folder, file))))
  await Promise.all(drawn.map(({ file, svg }) => writeFile(join(folder, file), svg)))
  return drawn.map(({ file }) => join(folder, file))
}
