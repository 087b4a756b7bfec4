import { createApi } from '@tidemark/http'
import type { TestDatabase } from '@tidemark/testing'
import {
  defineEvent,
  defineJob,
  defineListener,
  defineProjection,
  defineSchedule,
  Observer,
  type App,
  type Finding,
  type OutputStore,
} from 'tidemark'
import { expect, vi } from 'vitest'
import { z } from 'zod'
import { ShownFindings } from '../console/shown-findings.ts'
import { appOn } from '../support/test-app.ts'
import { Sdk } from '../telemetry/sdk.ts'
import { ApiClient } from './client.ts'

/** What is wrong at the moment. */
export const broken = new Set<string>()
/** Lets the sleeper go on. */
export const opened: PromiseWithResolvers<void> = Promise.withResolvers<void>()

export const noted = defineEvent('test.noted', {
  payload: z.object({ note: z.string() }),
})
// Never published: a projection of it can be rebuilt, whatever was pruned.
const listed = defineEvent('test.listed', { payload: z.object({ note: z.string() }) })

function failing(fault: string): () => void {
  return () => {
    if (broken.has(fault)) throw new Error(`planted: ${fault}`)
  }
}

const halter = defineListener('halter', { retry: { attempts: 1 } }).on(noted, failing('halt'))
const parker = defineListener('parker', {
  retry: { attempts: 1 },
  onFailure: 'park-key',
}).on(noted, failing('park'))
const sleeper = defineListener('sleeper', { handlerTimeout: '10m' }).on(noted, async () => {
  if (broken.has('slow')) await opened.promise
})
export const orphan = defineListener('orphan').on(noted, () => {})
export const table = defineProjection('table', { version: 1, tables: ['planted'] }).on(
  listed,
  async (event, { tx }) => {
    await tx.query('insert into planted values ($1)', [event.payload.note])
  },
)
export const bulky = defineJob('bulky', {
  input: z.object({}),
  retry: { attempts: 100, backoff: () => 200 },
  run: () => 'x'.repeat(500),
})
export const tiny = defineJob('tiny', { input: z.object({}), run: () => {} })
const hourly = defineSchedule('hourly', {
  cron: '0 * * * *',
  job: tiny,
  input: () => {
    failing('schedule')()
    return {}
  },
})

export const store: OutputStore = {
  name: 'disk',
  put: async () => {
    if (broken.has('disk')) throw new Error('ENOSPC: no space left on device')
  },
  get: async () => undefined,
  delete: async () => {},
}

export const modules = [{ noted, listed, halter, parker, sleeper, table, bulky, tiny, hourly }]
// Signs of life come every half second, so that the test is short.
export const worker = {
  leaseDuration: 2_000,
  maintenanceInterval: 200,
  handleSignals: false,
} as const

/** A fault, what it is called, and how it is planted and mended. */
export interface Fault {
  readonly name: string
  readonly code: string
  readonly cause: RegExp
  readonly plant: () => Promise<unknown>
  readonly mend: () => Promise<unknown>
}

/** What `doctor` finds wrong now. */
export async function examined(viewer: App): Promise<readonly Finding[]> {
  return (await viewer.doctor.examine({ quick: true, publisherAge: 5_000 })).filter(
    ({ status }) => status !== 'ok',
  )
}

/**
 * Plants all of them, waits until each is seen by doctor, overview, metric and whoever has the console open in a browser, mends
 * all, and waits until none is.
 */
export async function checkFaults(
  database: TestDatabase,
  viewer: App,
  faults: readonly Fault[],
): Promise<void> {
  await using sdk = new Sdk()
  // Whoever shows the metric is a worker like any other.
  await using observer = appOn(database, [noted])
  await using _ = await observer.start({ handleSignals: false, jobs: false })
  await using page = await ShownFindings.open(viewer)
  const api = new ApiClient(createApi(viewer, { overviewInterval: 20 }))
  const shown = async (): Promise<readonly Finding[]> =>
    (await api.get('/overview')).body['findings'] as readonly Finding[]
  const looks = vi.spyOn(Observer.prototype, 'look')
  /** What is shown as soon as it is so, which must be within the looks that are promised, however long one takes. */
  const soon = async (check: (found: readonly Finding[]) => void): Promise<readonly Finding[]> => {
    const before = looks.mock.calls.length
    for (;;) {
      const found = await shown()
      try {
        check(found)
        return found
      } catch (error) {
        if (looks.mock.calls.length - before > mostLooks) throw error
      }
    }
  }
  const codes = faults.map(({ code }) => code)
  const here = (found: readonly { readonly code: string }[]): string[] =>
    codes.filter((code) => found.some((one) => one.code === code))

  for (const { plant } of faults) await plant()
  await vi.waitFor(async () => expect(here(await examined(viewer))).toEqual(codes), hung)
  const seen = await soon((found) => expect(here(found)).toEqual(codes))
  for (const { name, code, cause } of faults) {
    const finding = seen.find((one) => one.code === code && cause.test(one.summary))
    expect(
      [name, finding?.remedy],
      JSON.stringify(seen.filter((one) => one.code === code)),
    ).toEqual([name, expect.stringMatching(/\w/u)])
    const given = { 'tidemark.finding': code }
    await vi.waitFor(
      async () => expect(await sdk.valueOf('tidemark.findings', given), name).toBeGreaterThan(0),
      hung,
    )
    if (page === undefined) continue
    // Code is told apart from other words there.
    const remedy = finding?.remedy?.replaceAll('`', '').slice(0, 60) ?? name
    await vi.waitFor(
      async () =>
        expect(
          (await page.texts()).filter((text) => cause.test(text) && text.includes(remedy)),
          `${name} in the browser`,
        ).not.toEqual([]),
      hung,
    )
  }

  for (const { mend } of faults) await mend()
  await vi.waitFor(async () => expect(here(await examined(viewer))).toEqual([]), hung)
  await soon((found) => expect(here(found)).toEqual([]))
  const left = async (): Promise<readonly string[]> =>
    ((await page?.texts()) ?? []).filter((text) => faults.some(({ cause }) => cause.test(text)))
  await vi.waitFor(async () => expect(await left()).toEqual([]), hung)
  for (const code of codes) {
    const given = { 'tidemark.finding': code }
    await vi.waitFor(
      async () => expect([code, await sdk.valueOf('tidemark.findings', given)]).toEqual([code, 0]),
      hung,
    )
  }
}

// What a process knows of itself is in the database with its next sign of life, which comes every 2.5 s by default; what is
// there is shown after so many looks, one a second: together that is less than the ten seconds that are promised.
const mostLooks = 5
// Only for what would never end.
export const hung = { timeout: 90_000, interval: 100 }
