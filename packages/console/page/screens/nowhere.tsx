import type { JSX } from 'preact'
import { Empty } from '../parts/page.tsx'
import { link } from '../route.ts'

export function NowhereScreen(): JSX.Element {
  return (
    <section class="card">
      <h1 class="visually-hidden">Nothing here</h1>
      <Empty title="There is nothing at this address">
        The link may be of another version of the console.{' '}
        <a href={link([])}>Begin at the start.</a>
      </Empty>
    </section>
  )
}
