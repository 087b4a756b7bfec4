import { signal } from '@preact/signals'

type Theme = 'light' | 'dark'

const system = matchMedia('(prefers-color-scheme: dark)')
const stored = localStorage.getItem('tidemark.theme')
const chosen = signal<Theme | undefined>(
  stored === 'light' || stored === 'dark' ? stored : undefined,
)

export const theme = signal<Theme>('light')

function apply(): void {
  theme.value = chosen.value ?? (system.matches ? 'dark' : 'light')
  document.documentElement.dataset['theme'] = theme.value
}

/** Takes what the reader chose, or else what their system has. */
export function followTheme(): void {
  system.addEventListener('change', apply)
  apply()
}

export function switchTheme(): void {
  chosen.value = theme.value === 'dark' ? 'light' : 'dark'
  localStorage.setItem('tidemark.theme', chosen.value)
  apply()
}
