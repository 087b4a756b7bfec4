import type { App } from 'tidemark'
import { CliError } from '../cli-error.ts'
import { getListener, type ListenerView } from './listener-view.ts'

/** @throws TidemarkError TIDEMARK_UNKNOWN_LISTENER; CliError when the name is a listener's. */
export async function getProjection(app: App, name: string): Promise<ListenerView> {
  const found = await getListener(app, name)
  if (found.kind === 'projection') return found
  throw new CliError(`"${name}" is a listener, not a projection`, {
    hint: `Look at it with \`tidemark listener show ${name}\`.`,
  })
}
