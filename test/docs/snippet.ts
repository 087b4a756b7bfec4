/** A block of code in the documentation. */
export interface Snippet {
  /** Where it stands, relative to the repository. */
  readonly file: string
  /** The line of its first line of code, counted from 1. */
  readonly line: number
  readonly language: 'ts' | 'sql'
  /** What follows the language on the line of the fence: `run`, or the path of the file that it quotes. */
  readonly info: string
  readonly code: string
}

/** The `ts` and `sql` blocks of a Markdown file. */
export function snippetsInMarkdown(file: string, text: string): Snippet[] {
  return fencedBlocks(file, text.split('\n'), 0)
}

/** The `ts` blocks after each `@example` in the doc comments of a source file. */
export function snippetsInSource(file: string, text: string): Snippet[] {
  const lines = text.split('\n')
  return lines.flatMap((line, index) => {
    if (!/^\s*\*\s*@example\b/u.test(line)) return []
    // A decorator within the block looks like the next tag.
    let within = false
    const end = lines.findIndex((later, at) => {
      if (at <= index) return false
      if (/^\s*\*\s*`{3,}/u.test(later)) within = !within
      return /\*\/\s*$/u.test(later) || (!within && /^\s*\*\s*@/u.test(later))
    })
    const comment = lines
      .slice(index + 1, end === -1 ? undefined : end)
      .map((inner) => inner.replace(/^\s*\* ?/u, ''))
    const snippets = fencedBlocks(file, comment, index + 1)
    if (snippets.length > 0) return snippets
    throw new Error(`${file}:${index + 1}: an @example without a block of TypeScript`)
  })
}

function fencedBlocks(file: string, lines: readonly string[], offset: number): Snippet[] {
  const snippets: Snippet[] = []
  for (let at = 0; at < lines.length; at++) {
    const fence = /^(?<indent>\s*)(?<ticks>`{3,})(?<language>\w*)\s*(?<info>.*?)\s*$/u.exec(
      lines[at] ?? '',
    )?.groups
    if (fence === undefined) continue
    const { indent = '', ticks = '', language = '', info = '' } = fence
    const start = at + 1
    at = lines.findIndex((line, index) => index >= start && line.trim() === ticks)
    if (at === -1) throw new Error(`${file}:${offset + start}: a block that does not end`)
    if (language !== 'ts' && language !== 'sql') {
      // One that is called otherwise would not be checked.
      if (/^(?:typescript|tsx|js|javascript|pgsql|postgresql)$/u.test(language)) {
        throw new Error(`${file}:${offset + start}: call the language ts or sql, not ${language}`)
      }
      continue
    }
    const code = lines.slice(start, at).map((line) => line.slice(indent.length))
    snippets.push({
      file,
      line: offset + start + 1,
      language,
      info,
      code: `${code.join('\n')}\n`,
    })
  }
  return snippets
}
