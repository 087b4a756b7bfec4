import { createConsole } from '@tidemark/console'
import { toNodeListener } from '@tidemark/http/node'
import express from 'express'
import { createHealth, withRequest } from 'tidemark'
import { z } from 'zod'
import { openAccount } from './accounts/index.ts'
import { createApp } from './app.ts'

const app = await createApp()
const closing = new AbortController()
const { signal } = closing
// Who may look and steer: without `authorize`, clients on this machine.
const show = createConsole(app, { basePath: '/tidemark', signal })
const newAccount = z.object({ id: z.string().min(1), email: z.email() })

const routes = express()
routes.use('/tidemark', toNodeListener(show))
routes.use('/health', toNodeListener(createHealth(app, { basePath: '/health', signal })))
routes.use(express.json())

routes.post('/accounts', async (request, response) => {
  const account = newAccount.safeParse(request.body)
  if (!account.success) {
    response.status(400).json({ error: z.prettifyError(account.error) })
    return
  }
  // What it publishes and spawns has the request's correlation id and trace.
  await withRequest(request.headers, () => openAccount(app, account.data.id, account.data.email))
  response.status(201).json(account.data)
})

const port = Number(process.env['PORT'] ?? 3000)
const server = routes.listen(port, 'localhost', () =>
  console.log(`http://localhost:${port}, the console at http://localhost:${port}/tidemark/`),
)

for (const name of ['SIGTERM', 'SIGINT'] as const) {
  process.once(name, () => {
    closing.abort()
    server.close(() => void app.close())
  })
}
