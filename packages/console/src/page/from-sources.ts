import { buildPage } from './build.ts'
import type { PageFile } from './page-file.ts'

let built: Promise<readonly PageFile[]> | undefined

/**
 * The files of the page. Inside the repository they are built from their sources when they are first asked for; the
 * published package has them as a module instead, which embed.ts writes.
 */
export function pageFiles(): Promise<readonly PageFile[]> {
  return (built ??= buildPage())
}
