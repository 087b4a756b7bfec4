import { defineApp, defineEvent, defineListener, silentLogger } from 'tidemark'
import { z } from 'zod'
import type { Subject } from './subject.ts'

/** What the process is told. */
export interface CrashOptions {
  readonly url: string
  readonly subject: string
  /** Whether it dies between what the handler wrote and the commit. */
  readonly dies: boolean
}

export const crashed = defineEvent('orm.crashed', { payload: z.object({ note: z.string() }) })

/** Runs a listener that writes by the ORM, and dies in the middle of it if it is told to. */
async function work({ url, subject: name, dies }: CrashOptions): Promise<void> {
  const { subject } = (await import(/* @vite-ignore */ `./${name}.ts`)) as { subject: Subject }
  const orm = await subject.connect(url)
  const listener = defineListener('listener').on(crashed, async ({ payload }, { db }) => {
    await orm.insert(db, payload.note)
    if (dies) process.kill(process.pid, 'SIGKILL')
  })
  const app = defineApp({
    connectionString: url,
    logger: silentLogger,
    modules: [crashed, listener],
    db: orm.bind,
  } as never)
  await app.start({ leaseDuration: 1_500 })
}

const [told] = process.argv.slice(2)
if (told !== undefined) await work(JSON.parse(told) as CrashOptions)
