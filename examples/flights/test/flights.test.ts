import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { expect, test, vi } from 'vitest'
import { openApp } from '../src/app.ts'
import { Example } from './example.ts'
import { descendantsOf, listProcesses, type Process } from './processes.ts'

// Each starts a server and three processes, beside whatever else the machine is testing.
vi.setConfig({ testTimeout: 120_000 })

test('every figure agrees with the raw file although a worker is killed', async () => {
  const file = new URL('../data/flights-20k.json', import.meta.resolve('vega-datasets'))
  const rows = JSON.parse(await readFile(file, 'utf8')) as { delay: number }[]
  const compensated = rows.slice(0, 2_000).filter(({ delay }) => delay > 180).length

  await using example = new Example('--limit', '2000', '--fast')
  const { code } = await example.end()

  expect(example.output).toMatch(/Check passed: all [\d,]+ figures agree with the raw file\.\n$/)
  expect(example.output).toMatch(/worker [12] is killed with SIGKILL/)
  expect(example.output).toMatch(/worker [123] runs .*, \d+\.\d s after the kill/)
  expect(example.output).toContain('2,000 flights were published and handled')
  // Of each voucher its number and its dollars.
  expect(compensated).toBeGreaterThan(0)
  expect(example.output).toMatch(new RegExp(`✓ vouchers +${compensated * 2} figures agree`))
  expect(example.output).not.toContain(' 0 transactions were rolled back')
  expect(code).toBe(0)
})

test('a figure that differs is shown and ends it with exit code 1', async () => {
  await using example = new Example('--limit', '2000', '--fast')
  await example.says('worker 2 runs')
  const family = descendantsOf(example.pid, await listProcesses())
  {
    await using intruder = openApp(urlOf(family))
    await intruder.db.insertInto('vouchers').values({ flight: 1_000_000, dollars: 50 }).execute()
  }

  expect(await example.end()).toEqual({ code: 1, signal: null })
  expect(example.output).toContain('vouchers of flight 1000000: 1 instead of nothing')
  expect(example.output).toMatch(/Check failed: 1 of 6 differ from the raw file\.\n$/)
})

// SIGKILL gives it no chance to clean up: the server's guard and the workers have to notice.
test.for(['SIGINT', 'SIGTERM', 'SIGKILL'] as const)(
  '%s leaves no process and no directory behind',
  async (signal) => {
    await using example = new Example()
    await example.says('worker 2 runs')
    const family = descendantsOf(example.pid, await listProcesses())
    const home = homeOf(family)
    expect(family.filter(({ command }) => command.includes('worker.ts'))).toHaveLength(2)
    expect(existsSync(home)).toBe(true)

    example.signal(signal)

    expect(await example.end()).toEqual({ code: null, signal })
    const pids = new Set(family.map(({ pid }) => pid))
    const left = async (): Promise<Process[]> =>
      (await listProcesses()).filter(({ pid, command }) => pids.has(pid) || command.includes(home))
    await expect.poll(left, { timeout: 20_000 }).toEqual([])
    expect(existsSync(home)).toBe(false)
  },
)

test('with --console it says where to look, and stays after the check until it is told to end', async () => {
  await using example = new Example('--limit', '2000', '--fast', '--console')
  await example.says('this link works once: http')
  const link = /http:\/\/127\.0\.0\.1:\d+\S+/.exec(example.output)?.[0] as string
  const first = await fetch(link, { redirect: 'manual' })
  const cookie = first.headers.get('set-cookie')?.split(';')[0] ?? ''
  const overview = await fetch(new URL('api/overview', link), { headers: { cookie } })
  expect(overview.status).toBe(200)
  expect((await fetch(link, { redirect: 'manual' })).headers.get('set-cookie')).toBeNull()

  await example.says('the workers and the console go on until Ctrl-C')
  expect(example.output).toContain('Check passed')
  expect((await fetch(new URL('api/listeners', link), { headers: { cookie } })).status).toBe(200)
  example.signal('SIGINT')
  expect(await example.end()).toEqual({ code: null, signal: 'SIGINT' })
})

test('an option that it does not know ends it with the usage', async () => {
  await using example = new Example('--fats')

  expect(await example.end()).toEqual({ code: 2, signal: null })
  expect(example.output).toContain("Unknown option '--fats'")
  expect(example.output).toContain('--fast')
})

/** The directory that the server of these processes was made in. */
function homeOf(family: readonly Process[]): string {
  const home = family.map(({ command }) => / -D (\S+)\/data /.exec(command)?.[1]).find(Boolean)
  if (home === undefined) throw new Error('no server runs')
  return home
}

/** The database that these processes work with. */
function urlOf(family: readonly Process[]): string {
  const url = family.map(({ command }) => / (postgres:\S+)/.exec(command)?.[1]).find(Boolean)
  if (url === undefined) throw new Error('no worker runs')
  return url
}
