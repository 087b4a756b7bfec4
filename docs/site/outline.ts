import { globSync, readFileSync } from 'node:fs'
import { basename } from 'node:path'

/** A page of the site: which file of the repository it is made from, and where it stands. */
export interface SitePage {
  /** Relative to the repository. */
  readonly source: string
  /** Where it is found on the site, without `.md`. */
  readonly page: string
  /** What the sidebar calls it. */
  readonly title: string
}

/** A part of the sidebar. */
export interface SitePart {
  readonly title: string
  readonly pages: readonly SitePage[]
}

const page = (source: string, path: string, title: string): SitePage => ({
  source,
  page: path,
  title,
})

const known: readonly SitePart[] = [
  {
    title: 'Begin',
    pages: [
      page('README.md', 'index', 'What it is'),
      page('docs/guide.md', 'guide', 'Guide'),
      page('docs/jobs.md', 'jobs', 'Jobs'),
      page('packages/testing/README.md', 'testing', 'Testing'),
      page('docs/orms.md', 'orms', 'With your ORM'),
      page('docs/nestjs.md', 'nestjs', 'With NestJS'),
      page('docs/nest-cron-jobs.md', 'nest-cron-jobs', 'Cron jobs of Nest'),
    ],
  },
  {
    title: 'Beyond',
    pages: [
      page('docs/http.md', 'http', 'HTTP API'),
      page('docs/relays.md', 'relays', 'Between services'),
      page('docs/outgrowing.md', 'outgrowing', 'Outgrowing one Postgres'),
      page('docs/stores.md', 'stores', 'State elsewhere'),
      page('docs/contexts.md', 'contexts', 'Contexts of jobs'),
      page('docs/state-service.md', 'state-service', 'The state service'),
    ],
  },
  {
    title: 'Operate',
    pages: [
      page('docs/hosting.md', 'hosting', 'Hosting'),
      page('docs/operating.md', 'operating', 'Operating'),
      page('docs/console.md', 'console', 'Console'),
      page('docs/telemetry.md', 'telemetry', 'Telemetry'),
      page('docs/cli.md', 'cli', 'Command line'),
      page('docs/errors.md', 'errors', 'Errors'),
    ],
  },
  {
    title: 'Examples',
    pages: [
      page('examples/bank/README.md', 'examples/bank', 'A bank'),
      page('examples/flights/README.md', 'examples/flights', 'Flights'),
    ],
  },
  {
    title: 'Compare',
    pages: [
      page('docs/comparison.md', 'comparison', 'With others'),
      page('PERFORMANCE.md', 'performance', 'Performance'),
      page('CHANGELOG.md', 'changelog', 'Changelog'),
    ],
  },
  {
    title: 'Inside',
    pages: [
      page('docs/guarantees.md', 'guarantees', 'Guarantees'),
      page('docs/protocols.md', 'protocols', 'Protocols'),
      page('ARCHITECTURE.md', 'architecture', 'Architecture'),
      page('docs/mutants.md', 'mutants', 'Mutants'),
      page('docs/faults.md', 'faults', 'Fault harness'),
      page('docs/fault-runs.md', 'fault-runs', 'Runs of the harness'),
      page('CONTRIBUTING.md', 'contributing', 'Contributing'),
      page('docs/site/README.md', 'site', 'This site'),
    ],
  },
]

/** All pages that people wrote, in the order in which they are read: what is essential first, internals last. */
export const outline: readonly SitePart[] = [...known, ...others()]

/** What has no place of its own yet. */
function others(): SitePart[] {
  const root = new URL('../../', import.meta.url)
  const placed = new Set(known.flatMap(({ pages }) => pages).map(({ source }) => source))
  const pages = globSync(['docs/*.md', 'packages/*/README.md', 'examples/*/README.md'], {
    cwd: root.pathname,
  })
    .filter((source) => !placed.has(source))
    .toSorted()
    .map((source) => {
      const [, title = source] = /^# (.*)$/m.exec(readFileSync(new URL(source, root), 'utf8')) ?? []
      const path = source.replace(/\/README\.md$/, '').replace(/\.md$/, '')
      return page(source, path.startsWith('docs/') ? basename(path) : path, title)
    })
  return pages.length === 0 ? [] : [{ title: 'More', pages }]
}
