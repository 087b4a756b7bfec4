import { createRequire } from 'node:module'
import { run } from './story.mjs'

const require = createRequire(import.meta.url)
const imported = await import('tidemark')
// One copy, whichever way it is loaded.
if (require('tidemark').defineApp !== imported.defineApp) throw new Error('two copies')
await run(imported, await import('zod'))
