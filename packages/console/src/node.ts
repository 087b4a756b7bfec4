/** Serving the console with `node:http`, and with frameworks that take its listeners. */
export { toNodeListener } from '@tidemark/http/node'
