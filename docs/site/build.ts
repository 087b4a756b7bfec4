/** Builds the site into `dist`: `npm run site` from the root of the repository. */
import { rm } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { build } from 'vitepress'
import { collectPages, writePages } from './pages.ts'
import { writeReference } from './reference.ts'

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

await rm(here('pages'), { recursive: true, force: true })
await writePages(await collectPages(), here('pages'))
await writeReference(here('pages/reference'))
await build(here('.'))
console.log(`The site is in ${here('dist')}; any server of files can serve it.`)
