/** Part of `npm run build`: writes the built page as the module that `#page` is in the published package. */
import { writeFile } from 'node:fs/promises'
import { gzipSync } from 'node:zlib'
import { buildPage } from './build.ts'

const files = await buildPage()
await writeFile(
  new URL('../../dist/page.js', import.meta.url),
  `const files = Object.freeze(${JSON.stringify(files, null, 2)})\nexport const pageFiles = async () => files\n`,
)
const compressed = files.reduce((bytes, { text }) => bytes + gzipSync(text).length, 0)
console.log(`the page: ${files.length} files, ${compressed} bytes compressed`)
