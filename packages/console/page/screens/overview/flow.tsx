import type { JSX } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import type { Overview } from '../../data/types.ts'
import { Chart } from './chart.tsx'

const shownSeconds = 120
// At a sample a second: a page that is left open for a day keeps no more.
const most = shownSeconds

interface Sample {
  readonly at: number
  readonly sequence: bigint
}

/** The rate of publishing, from what the page has seen of the last sequence. */
export function Flow({ now }: { readonly now: Overview | undefined }): JSX.Element {
  const samples = useRef<Sample[]>([])
  const [rates, setRates] = useState<readonly [number[], number[]]>([[], []])
  useEffect(() => {
    if (now === undefined) return
    samples.current = [
      ...samples.current.slice(-most),
      { at: Date.parse(now.at) / 1000, sequence: BigInt(now.lastSequence) },
    ]
    setRates(ratesOf(samples.current))
  }, [now])
  const last = rates[1].at(-1)
  return (
    <figure>
      <Chart
        points={rates}
        seconds={shownSeconds}
        label="The rate of publishing over the last minutes"
      />
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
