/** Serves the console of the small bank until it is ended: to look at it. `node --conditions=@tidemark/source test/console/programs/serve.ts 8123` */
import { createServer } from 'node:http'
import { createConsole } from '@tidemark/console'
import { toNodeListener } from '@tidemark/console/node'
import { createTestDatabase } from '@tidemark/testing'
import { defineApp } from 'tidemark'
import { play, world } from '../world.ts'

const port = Number(process.argv[2] ?? 8123)
await using database = await createTestDatabase()
await using app = defineApp({ modules: [world], connectionString: database.url })
await using _ = await app.start({ handleSignals: false })
await play(app)
const server = createServer(toNodeListener(createConsole(app, { basePath: '/ops', title: 'Bank' })))
server.listen(port, '127.0.0.1', () => console.log(`http://127.0.0.1:${port}/ops/`))
await new Promise((resolve) => process.once('SIGTERM', resolve))
server.closeAllConnections()
server.close()
