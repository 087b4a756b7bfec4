import type { JSX } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import { access } from './data/access.ts'
import { connection } from './data/live.ts'
import { ActionDialog } from './parts/action.tsx'
import { Toasts } from './parts/toasts.tsx'
import { link, route } from './route.ts'
import { screenOf, sections } from './screens/index.ts'
import { switchTheme, theme } from './theme.ts'
import { nextTimeStyle, timeStyle } from './time.ts'

const title = document.querySelector<HTMLMetaElement>('meta[name=tidemark-title]')?.content ?? ''

/** What stands around every screen. */
export function Shell(): JSX.Element {
  const main = useRef<HTMLElement>(null)
  const { path } = route.value
  const place = path.join('/')
  const { Screen, name } = screenOf(path)
  const shown = useRef(place)
  useEffect(() => {
    document.title = `${path[1] ?? name} · ${title} · Tidemark`
    // Whoever listens to the page instead of looking at it learns that it is another one; not when it is opened.
    if (shown.current !== place) main.current?.focus({ preventScroll: true })
    if (shown.current !== place) scrollTo(0, 0)
    shown.current = place
  }, [place, name])
  return (
    <div class="shell">
      <a
        class="skip-link"
        href="#main"
        onClick={(event) => {
          event.preventDefault()
          main.current?.focus()
        }}
      >
        Skip to content
      </a>
      <header class="side">
        <a class="brand" href={link([])}>
          <Mark />
          <span>
            <strong>Tidemark</strong>
            <small>{title}</small>
          </span>
        </a>
        <nav aria-label="Screens">
          <div>
            {sections.map(({ title: section, screens }) => (
              <div key={section}>
                <h2>{section}</h2>
                <ul>
                  {screens.map((screen) => (
                    <li key={screen.name}>
                      <a
                        href={link(screen.at)}
                        aria-current={screen.name === name ? 'page' : undefined}
                      >
                        {screen.name}
                      </a>
                    </li>
                  ))}
                </ul>
              </div>
            ))}
          </div>
        </nav>
        <div class="tools">
          {connection.value !== 'live' && (
            <span class="badge warn" role="status">
              {connection.value === 'connecting' ? 'connecting' : 'not connected'}
            </span>
          )}
          {access.value.readOnly && <span class="badge">read-only</span>}
          <button type="button" class="button plain" onClick={nextTimeStyle}>
            Times: {timeStyle.value}
          </button>
          <button type="button" class="button plain" onClick={switchTheme}>
            {theme.value === 'dark' ? 'Light' : 'Dark'}
          </button>
        </div>
      </header>
      <main id="main" ref={main} tabIndex={-1}>
        <Screen key={place} path={path.slice(1)} />
      </main>
      <ActionDialog />
      <Toasts />
    </div>
  )
}

function Mark(): JSX.Element {
  return (
    <svg viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="8" fill="#0b6e7f" />
      <g fill="none" stroke="#fff" stroke-width="2.6" stroke-linecap="round">
        <path d="M6 20c3.3-3 6.7-3 10 0s6.7 3 10 0" />
        <path d="M6 13c3.3-3 6.7-3 10 0s6.7 3 10 0" opacity=".55" />
      </g>
    </svg>
  )
}
