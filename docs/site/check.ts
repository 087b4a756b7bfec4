/** Follows every link of every page, without building the site; prints the pages. */
import { collectPages } from './pages.ts'

console.log(JSON.stringify(Object.fromEntries(await collectPages())))
