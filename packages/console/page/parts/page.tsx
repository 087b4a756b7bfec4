import type { ComponentChildren, JSX } from 'preact'

/** The head of a screen: where one is, what this is for, what can be done. */
export function PageHead({
  title,
  crumb,
  lead,
  children,
}: {
  readonly title: ComponentChildren
  readonly crumb?: { readonly href: string; readonly text: string }
  readonly lead?: ComponentChildren
  readonly children?: ComponentChildren
}): JSX.Element {
  return (
    <header class="page-head">
      <div>
        {crumb !== undefined && (
          <p class="crumbs">
            <a href={crumb.href}>← {crumb.text}</a>
          </p>
        )}
        <h1>{title}</h1>
        {lead !== undefined && <p>{lead}</p>}
      </div>
      <div class="buttons">{children}</div>
    </header>
  )
}

/** A part of a screen with a title of its own. */
export function Card({
  title,
  aside,
  children,
  flush = false,
}: {
  readonly title: ComponentChildren
  readonly aside?: ComponentChildren
  readonly children: ComponentChildren
  /** Whether what is in it reaches its edges, as a table does. */
  readonly flush?: boolean
}): JSX.Element {
  return (
    <section class="card">
      <header>
        <h2>{title}</h2>
        {aside}
      </header>
      {flush ? children : <div class="body">{children}</div>}
    </section>
  )
}

/** Names and what they stand for. */
export function Facts({
  of: facts,
}: {
  readonly of: readonly (readonly [string, ComponentChildren] | undefined)[]
}): JSX.Element {
  return (
    <dl class="facts">
      {facts
        .filter((fact) => fact !== undefined)
        .map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
    </dl>
  )
}

/** What stands where there is nothing: what would be here, and how it comes about. */
export function Empty({
  title,
  children,
  code,
}: {
  readonly title: string
  readonly children?: ComponentChildren
  readonly code?: string
}): JSX.Element {
  return (
    <div class="empty">
      <strong>{title}</strong>
      <p>{children}</p>
      {code !== undefined && <pre class="code">{code}</pre>}
    </div>
  )
}
