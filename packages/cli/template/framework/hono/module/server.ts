import { serve } from '@hono/node-server'
import { createConsole } from '@tidemark/console'
import { toHono } from '@tidemark/http/hono'
import { Hono } from 'hono'
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

const routes = new Hono()
routes.mount('/tidemark', toHono(show), { replaceRequest: false })
const health = createHealth(app, { signal })
routes.get('/healthz', (c) => health(c.req.raw))
routes.get('/readyz', (c) => health(c.req.raw))

routes.post('/accounts', async (c) => {
  const account = newAccount.safeParse(await c.req.json().catch(() => undefined))
  if (!account.success) return c.json({ error: z.prettifyError(account.error) }, 400)
  // What it publishes and spawns has the request's correlation id and trace.
  await withRequest(c.req.raw.headers, () => openAccount(app, account.data.id, account.data.email))
  return c.json(account.data, 201)
})

const port = Number(process.env['PORT'] ?? 3000)
const server = serve({ fetch: routes.fetch, port, hostname: 'localhost' }, () =>
  console.log(`http://localhost:${port}, the console at http://localhost:${port}/tidemark/`),
)

for (const name of ['SIGTERM', 'SIGINT'] as const) {
  process.once(name, () => {
    closing.abort()
    server.close(() => void app.close())
  })
}
