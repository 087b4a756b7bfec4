import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { StaleMutant } from '../mutants/mutant.ts'
import { Workspace } from '../mutants/workspace.ts'
import { plantedBugs, type PlantedBug } from './planted.ts'

// A last round may take its time, on a busy machine above all.
const patience = 600_000

/** What came of planting a bug. */
export interface Detection {
  readonly breaks: string
  /** The promise that was seen broken first; undefined: none. */
  readonly promise: string | undefined
  /** Seconds of running until then, or all of them. */
  readonly seconds: number
}

/** How bugs are looked for. */
export interface PlantingOptions {
  readonly seed: number
  /** The most for each bug. */
  readonly minutes: number
  /** Only those whose description contains this. */
  readonly only: string
}

/** Plants each bug in a copy of the repository and runs the harness there until it finds something. */
export async function findPlanted({ seed, minutes, only }: PlantingOptions): Promise<Detection[]> {
  using workspace = await Workspace.make()
  const detections: Detection[] = []
  for (const bug of plantedBugs.filter(({ breaks }) => breaks.includes(only))) {
    try {
      const detection = await workspace.broken(bug.edits, (path) => look(path, bug, seed, minutes))
      detections.push(detection)
      const { promise, seconds } = detection
      console.log(`${bug.breaks}: ${promise ?? 'NOT FOUND'} (${seconds} s)`)
    } catch (error) {
      if (!(error instanceof StaleMutant)) throw error
      console.log(`${bug.breaks}: ${error.message}`)
      detections.push({ breaks: bug.breaks, promise: undefined, seconds: 0 })
    }
  }
  return detections
}

async function look(
  path: string,
  bug: PlantedBug,
  seed: number,
  minutes: number,
): Promise<Detection> {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-planted-'))
  const report = join(folder, 'report')
  try {
    const child = spawn(
      process.execPath,
      [
        '--conditions=@tidemark/source',
        'test/harness/programs/run.ts',
        '--seed',
        String(seed),
        '--minutes',
        String(minutes),
        '--workers',
        '2',
        '--until-violated',
        '--only',
        bug.only ?? '',
        '--report',
        report,
      ],
      { cwd: path, stdio: ['ignore', 'ignore', 'inherit'] },
    )
    const ended = await Promise.race([
      once(child, 'exit'),
      delay(minutes * 60_000 + patience, undefined, { ref: false }),
    ])
    if (ended === undefined) child.kill('SIGKILL')
    if (!existsSync(`${report}.json`)) {
      const promise = ended === undefined ? undefined : 'a run ends with a report'
      return { breaks: bug.breaks, promise, seconds: minutes * 60 }
    }
    const { violations, rounds } = JSON.parse(readFileSync(`${report}.json`, 'utf8')) as {
      readonly violations: readonly {
        readonly promise: string
        readonly after: number
        readonly evidence: unknown
      }[]
      readonly rounds: readonly {
        readonly lasted: number
        readonly violations: readonly unknown[]
      }[]
    }
    if (violations[0] !== undefined) console.log(`  ${JSON.stringify(violations[0].evidence)}`)
    const before = rounds
      .filter((round) => round.violations.length === 0)
      .reduce((sum, { lasted }) => sum + lasted, 0)
    const milliseconds = before + (violations[0]?.after ?? 0)
    return {
      breaks: bug.breaks,
      promise: violations[0]?.promise,
      seconds: Math.round(milliseconds / 1000),
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
