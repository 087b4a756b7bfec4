import axe from 'axe-core'
import type { Page } from 'playwright-core'

/** A rule that is broken, and the elements that break it. */
type Violation = readonly [rule: string, elements: readonly string[]]

/**
 * What an accessibility checker finds in a page as it stands.
 *
 * It is loaded once into a document and runs there: `@axe-core/playwright` opens another page for each look, and loads it
 * anew into both, which took most of the time of these tests.
 *
 * @param rules - only these. Defaults to all.
 */
export async function violationsIn(
  page: Page,
  rules?: readonly string[],
): Promise<readonly Violation[]> {
  if (!(await page.evaluate(`'axe' in globalThis`))) await page.evaluate(axe.source)
  const options = {
    resultTypes: ['violations'],
    ...(rules === undefined ? {} : { runOnly: { type: 'rule', values: rules } }),
  }
  return page.evaluate(
    `axe.run(document, ${JSON.stringify(options)}).then(({ violations }) =>
      violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]))`,
  )
}
