/** Preloaded: our own code, the library as well, gets the line of the OpenTelemetry API before the present one. */
import { createRequire, registerHooks } from 'node:module'
import { pathToFileURL } from 'node:url'

const olderLine = createRequire(
  new URL('../../../packages/opentelemetry-1.9/package.json', import.meta.url),
)

registerHooks({
  resolve: (specifier, context, nextResolve) => {
    const ours = !context.parentURL?.includes('/node_modules/')
    if (!ours || !specifier.startsWith('@opentelemetry/')) return nextResolve(specifier, context)
    const { href } = pathToFileURL(olderLine.resolve(specifier))
    return { url: href, format: 'commonjs', shortCircuit: true }
  },
})
