/** One file of the page, as it is served. */
export interface PageFile {
  /** Its path below the console: `index.html`, `assets/index-B3x9.js`. */
  readonly path: string
  readonly type: string
  readonly text: string
}

/** The media type of a file, by its name. */
export function mediaType(path: string): string {
  if (path.endsWith('.html')) return 'text/html; charset=utf-8'
  if (path.endsWith('.js')) return 'text/javascript; charset=utf-8'
  if (path.endsWith('.css')) return 'text/css; charset=utf-8'
  return 'image/svg+xml'
}
