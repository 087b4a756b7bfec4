import { defineConfig } from 'vitepress'
import { outline } from '../outline.ts'

export default defineConfig({
  title: 'Tidemark',
  description: 'Event-sourced outbox, projections and durable jobs for TypeScript on PostgreSQL',
  srcDir: 'pages',
  srcExclude: ['public/**'],
  outDir: 'dist',
  themeConfig: {
    nav: [
      { text: 'Guide', link: '/guide' },
      { text: 'Reference', link: '/reference/' },
    ],
    sidebar: [
      ...outline.map(({ title, pages }) => ({
        text: title,
        items: pages.map((page) => ({
          text: page.title,
          link: page.page === 'index' ? '/' : `/${page.page}`,
        })),
      })),
      { text: 'Reference', items: [{ text: 'All exports', link: '/reference/' }] },
    ],
    // Built into the site: it finds without a network.
    search: { provider: 'local' },
    outline: [2, 3],
  },
})
