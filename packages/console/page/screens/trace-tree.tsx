import type { JSX } from 'preact'
import type { TraceNode } from '../data/types.ts'
import { Badge } from '../parts/badge.tsx'
import { Name } from '../parts/text.tsx'
import { Time } from '../parts/time.tsx'
import { link } from '../route.ts'

/** Causes above, effects below: event → listener → job → step → event. */
export function TraceTree({
  nodes,
  here,
}: {
  readonly nodes: readonly TraceNode[]
  /** The id of what the screen is about. */
  readonly here: string
}): JSX.Element {
  if (nodes.length === 0) return <p class="empty">Nothing is known of its causes any more.</p>
  return (
    <ol class="tree">
      {nodes.map((node) => {
        const to = placeOf(node)
        return (
          <li key={`${node.kind} ${node.id}`} style={{ '--depth': String(node.depth) }}>
            <span class="kind">{node.kind}</span>
            {to === undefined || node.id === here ? (
              <span class={node.id === here ? 'here' : ''}>
                <Name of={node.name} />
              </span>
            ) : (
              <a href={to}>
                <Name of={node.name} />
              </a>
            )}
            {node.status !== '' && node.status !== 'published' && <Badge state={node.status} />}
            <span class="quiet">
              <Time at={node.at} />
            </span>
          </li>
        )
      })}
    </ol>
  )
}

function placeOf({ kind, id, name, sequence }: TraceNode): string | undefined {
  if (kind === 'job') return link(['jobs', id])
  if (kind === 'event') {
    return typeof sequence === 'string' ? link(['events', sequence]) : link(['events'], { id })
  }
  if (kind === 'listener') return link(['listeners', name])
  return undefined
}
