import { TidemarkError } from './tidemark-error.ts'

const { node, ...others } = process.versions as Record<string, string | undefined>
const [major = 0, minor = 0] = (node ?? '').split('.').map(Number)
// They say which Node they stand for; what they can do is another matter.
const standsForNode = 'bun' in others || 'deno' in others

// Evaluated before anything else: an older Node would fail later, and with an error that says nothing.
if (!standsForNode && (major < 22 || (major === 22 && minor < 12))) {
  throw new TidemarkError(
    'TIDEMARK_UNSUPPORTED_NODE',
    `Tidemark needs Node 22.12 or newer, and this is Node ${node}`,
  )
}
