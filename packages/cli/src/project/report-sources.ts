import * as modules from 'node:module'
import { fileURLToPath } from 'node:url'

// Loaded before anything else by the worker of `tidemark dev`: it tells the command which files the worker is made of.
// A Node before 22.15 cannot; then every change counts. (A name that is not exported could not be imported.)
const { registerHooks } = modules as { registerHooks?: typeof modules.registerHooks }
registerHooks?.({
  load(url, context, next) {
    if (url.startsWith('file:') && !url.includes('/node_modules/')) {
      process.send?.({ loaded: fileURLToPath(url) })
    }
    return next(url, context)
  },
})
