import { describe, expect, it } from 'vitest'
import { presentSoak } from '../src/soak-report.ts'
import type { SoakResults } from '../src/soak.ts'

const clean: SoakResults = {
  minutes: 10,
  publishers: 8,
  published: { events: 100, rolledBack: 7, repeated: 2 },
  killed: 600,
  settled: true,
  found: {
    events: 100,
    missing: 0,
    twice: 0,
    disorder: 0,
    counted: 100,
    connections: 0,
    samples: 10,
    skips: 0,
  },
  memory: [{ process: 'worker 1', samples: [100, 200, 300, 400], live: [100, 125] }],
}

const found = (wrong: Partial<SoakResults['found']>): SoakResults => ({
  ...clean,
  found: { ...clean.found, ...wrong },
})

const holding = (late: number): SoakResults => ({
  ...clean,
  memory: [{ process: 'worker 1', samples: [1], live: [100, late] }],
})

describe('a soak', () => {
  it('passes when every event took effect once and in order', () => {
    expect(presentSoak(clean).failures).toEqual([])
  })

  it.each([
    [{ ...clean, settled: false }, 'the listeners stood still'],
    [found({ missing: 3 }), '3 events were skipped'],
    [found({ twice: 1 }), '1 events took effect twice'],
    [found({ disorder: 2 }), '2 effects came out of order'],
    [found({ counted: 99 }), 'the projection counted 99'],
    [found({ connections: 1 }), '1 connections were left open'],
    [found({ skips: 1 }), 'the skip detector found 1'],
    [found({ events: 99, counted: 99 }), '100 events were published, 99 are there'],
    [holding(126), 'worker 1 held 26 % more at the end'],
  ])('fails, and says why: %#', (results, failure) => {
    expect(presentSoak(results).failures).toEqual([failure])
  })

  it('that is short says nothing of memory, which is still growing to its size', () => {
    expect(presentSoak({ ...holding(200), minutes: 1 }).failures).toEqual([])
  })
})
