import { cp, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { dirname, extname, join, posix } from 'node:path'
import { outline, type SitePage } from './outline.ts'

/** A link of a page that leads nowhere. */
export class DeadLinkError extends Error {}

/** The pages of the site as Markdown, by the path that they are written to. */
export type Pages = Map<string, string>

const repository = new URL('../../', import.meta.url)
const written = new Map(outline.flatMap(({ pages }) => pages).map((page) => [page.source, page]))
const pictures = new Set(['.svg', '.png'])
const languages: Readonly<Record<string, string>> = { '.mjs': 'js', '.yaml': 'yaml', '.ts': 'ts' }

/**
 * The Markdown of the repository as pages whose links stay within the site: what they link to besides pages, files and
 * folders of the repository, become pages, too. So it needs nothing but itself, wherever it is read.
 *
 * @throws {DeadLinkError} naming the page and the link.
 */
export async function collectPages(): Promise<Pages> {
  const pages: Pages = new Map()
  const sources = new Set<string>()
  for (const page of written.values()) {
    const text = await readFile(new URL(page.source, repository), 'utf8')
    pages.set(`${page.page}.md`, await withLinks(text, page, sources))
  }
  // A folder's page asks for its files.
  for (const source of sources) pages.set(`${sourcePage(source)}.md`, await shown(source, sources))
  pages.set('llms.txt', await overview())
  return pages
}

/** Writes the pages, and the pictures that they show. */
export async function writePages(pages: Pages, directory: string): Promise<void> {
  for (const [path, text] of pages) {
    // As a page, and as it is, for readers that are no browsers.
    const files = path.endsWith('.txt') ? [`public/${path}`] : [path, `public/${path}`]
    for (const file of files) {
      await mkdir(dirname(join(directory, file)), { recursive: true })
      await writeFile(join(directory, file), text)
    }
  }
  for (const folder of ['benchmarks/plots', 'docs/images']) {
    await cp(new URL(folder, repository), join(directory, 'public', folder), { recursive: true })
  }
}

async function withLinks(text: string, page: SitePage, sources: Set<string>): Promise<string> {
  const parts = text.split(/(^(`{3,}|~{3,})[\s\S]*?^\2 *$|`[^`\n]+`)/m)
  const out: string[] = []
  for (const [index, part] of parts.entries()) {
    // The split keeps what it splits at, and the fence's own group: code is left as it is.
    if (index % 3 === 0) out.push(await replaceLinks(part, page, sources))
    else if (index % 3 === 1) out.push(part)
  }
  return out.join('')
}

async function replaceLinks(text: string, page: SitePage, sources: Set<string>): Promise<string> {
  // Markdown's links and pictures, and the pictures of HTML.
  const pattern = /(?<before>\]\(|src(?:set)?=")(?!https?:|mailto:|#)(?<link>[^)"\s]+)/g
  const links = [...text.matchAll(pattern)].map(({ groups }) => groups?.['link'] ?? '')
  const targets = new Map<string, string>()
  for (const link of links) targets.set(link, await target(link, page, sources))
  return text.replaceAll(
    pattern,
    (_, before: string, link: string) => `${before}${targets.get(link) ?? link}`,
  )
}

async function target(link: string, page: SitePage, sources: Set<string>): Promise<string> {
  const [path = '', anchor] = link.split('#')
  const source = posix.join(posix.dirname(page.source), path).replace(/\/$/, '')
  const hash = anchor === undefined ? '' : `#${anchor}`
  const found = written.get(source) ?? written.get(`${source}/README.md`)
  if (found !== undefined) return `/${found.page === 'index' ? '' : found.page}${hash}`
  const there = await stat(new URL(source, repository)).catch(() => undefined)
  if (there === undefined || source.startsWith('..')) {
    throw new DeadLinkError(`${page.source} links to ${link}, which is not there`)
  }
  if (pictures.has(extname(source))) return `/${source}`
  if (source.endsWith('.md')) {
    throw new DeadLinkError(
      `${page.source} links to ${link}, which is not in the outline of the site`,
    )
  }
  sources.add(source)
  return `/${sourcePage(source)}`
}

function sourcePage(source: string): string {
  return `source/${source}`
}

/** A file of the repository as a page, or what a folder holds. */
async function shown(source: string, sources: Set<string>): Promise<string> {
  const url = new URL(source, repository)
  if ((await stat(url)).isDirectory()) {
    const entries = await readdir(url, { withFileTypes: true })
    const files = entries.filter((entry) => entry.isFile() && /\.(ts|mjs|yaml)$/.test(entry.name))
    for (const { name } of files) sources.add(`${source}/${name}`)
    const items = files.map(({ name }) => `- [${name}](/${sourcePage(`${source}/${name}`)})`)
    return `# ${source}\n\n${items.join('\n')}\n`
  }
  const language = languages[extname(source)] ?? ''
  return `# ${source}\n\n\`\`\`\`${language}\n${await readFile(url, 'utf8')}\`\`\`\`\n`
}

/** What a language model is to read first: https://llmstxt.org. */
async function overview(): Promise<string> {
  const readme = await readFile(new URL('README.md', repository), 'utf8')
  const [, summary = ''] = /^# .*\n+([^#\n][^\n]*(?:\n[^#\n][^\n]*)*)/m.exec(readme) ?? []
  const parts = outline.map(({ title, pages }) => {
    const lines = pages.map((page) => `- [${page.title}](/${page.page}.md)`)
    return `## ${title}\n\n${lines.join('\n')}\n`
  })
  return `# Tidemark\n\n> ${summary.replaceAll('\n', ' ')}\n\n${parts.join('\n')}`
}
