import { execFile } from 'node:child_process'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, it, onTestFinished } from 'vitest'
import { repository, type BenchRecord } from '../src/record.ts'

it('a benchmark runs, and its results say how', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-bench-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  const options = ['--publishers', '2', '--commit-delay', '0', '--seconds', '0.05', '--runs', '1']
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [
      '--conditions=@tidemark/source',
      'src/main.ts',
      'publish',
      ...options,
      '--json',
      '--out',
      folder,
    ],
    { cwd: join(repository, 'benchmarks') },
  )
  const { conditions, results } = JSON.parse(stdout) as BenchRecord
  expect(conditions.command).toBe(
    'npm run bench -- publish --publishers 2 --seconds 0.05 --runs 1 --commit-delay 0',
  )
  const { single } = results as { single: { cases: { median: number }[] }[] }
  expect(single[0]?.cases).toHaveLength(12)
  for (const { median } of single[0]?.cases ?? []) expect(median).toBeGreaterThan(0)
  expect((await readdir(folder)).toSorted()).toEqual([
    'publish-bulk-0ms.svg',
    'publish-commits-0ms.svg',
    'publish.json',
  ])
})
