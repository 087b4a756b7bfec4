/** What `tidemark generate` writes. */
export const kinds = ['event', 'listener', 'projection', 'job'] as const

/** One of {@link kinds}. */
export type Kind = (typeof kinds)[number]

/** A definition to begin with. */
export interface GeneratedFile {
  /** From the folder of the config. */
  readonly path: string
  readonly text: string
  /** What is left to do. */
  readonly next: string
}

/**
 * The file of a definition.
 *
 * @param name - its module and itself, with a dot between them: `orders.placed`.
 */
export function generatedFile(kind: Kind, name: string): GeneratedFile {
  const [module = '', ...rest] = name.split('.')
  const words = rest.join('-').replaceAll('_', '-')
  const constant = camelCase(words)
  const path = `${module}/${words}.ts`
  const next = `Export it from ${module}/index.ts: export * from './${words}.ts'`
  return { path, text: texts[kind](name, constant), next }
}

function camelCase(words: string): string {
  return words.replaceAll(/-+(\w)/gu, (_, letter: string) => letter.toUpperCase())
}

const texts: Readonly<Record<Kind, (name: string, constant: string) => string>> = {
  event: (name, constant) => `import { defineEvent } from 'tidemark'
import { z } from 'zod'

/** Say what has happened, in the past tense. */
export const ${constant} = defineEvent('${name}', {
  payload: z.object({ id: z.string() }),
})
`,
  listener: (name, constant) => `import { defineEvent, defineListener } from 'tidemark'
import { z } from 'zod'

// Import the event that it handles instead.
const somethingHappened = defineEvent('something.happened', {
  payload: z.object({ id: z.string() }),
})

/** What it writes through \`db\` or \`tx\` commits together with its cursor: once for each event. */
export const ${constant} = defineListener('${name}').on(
  somethingHappened,
  async (event, { tx }) => {
    await tx.query('select $1::text', [event.payload.id])
  },
)
`,
  projection: (name, constant) => `import { defineEvent, defineProjection } from 'tidemark'
import { z } from 'zod'

// Import the event that it is made of instead.
const somethingHappened = defineEvent('something.happened', {
  payload: z.object({ id: z.string() }),
})

/** State that is made of events. Raise the version when the reducers change: it is derived again, beside the live one. */
export const ${constant} = defineProjection('${name}', {
  version: 1,
  initial: () => ({ count: 0 }),
}).on(somethingHappened, (state) => ({ count: state.count + 1 }))
`,
  job: (name, constant) => `import { defineJob, exponential } from 'tidemark'
import { z } from 'zod'

/** Slow work, in steps: what a step has answered is stored, and the next attempt goes on after it. */
export const ${constant} = defineJob('${name}', {
  input: z.object({ id: z.string() }),
  output: z.object({ done: z.boolean() }),
  retry: { attempts: 10, backoff: exponential('1s', '1h') },
  run: async (job, ctx) => {
    const done = await ctx.step('do', () => job.input.id !== '')
    return { done }
  },
})
`,
}
