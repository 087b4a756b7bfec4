import { fileURLToPath } from 'node:url'
import type { InlineConfig, Rolldown } from 'vite'
import { mediaType, type PageFile } from './page-file.ts'

const root = fileURLToPath(new URL('../../page', import.meta.url))

const config: InlineConfig = {
  root,
  configFile: false,
  logLevel: 'error',
  // Nothing is above it: it is served below a path that nobody knows yet.
  base: './',
  // `development` follows NODE_ENV otherwise: what is served is the same wherever it is built, in a test as well.
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact', development: false } },
  build: {
    write: false,
    // Both would be code or data inside of the page, which its policy forbids.
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    target: 'es2022',
    reportCompressedSize: false,
  },
}

/** Builds the page from its sources, in memory. */
export async function buildPage(): Promise<readonly PageFile[]> {
  const { build } = await import('vite')
  const { output } = (await build(config)) as Rolldown.RolldownOutput
  return output.map((file) => ({
    path: file.fileName,
    type: mediaType(file.fileName),
    text: file.type === 'chunk' ? file.code : String(file.source),
  }))
}
