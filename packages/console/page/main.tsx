import { render } from 'preact'
import { learnAccess } from './data/access.ts'
import { followServer } from './data/live.ts'
import { followPointer } from './data/pressed.ts'
import { followAddress } from './route.ts'
import { Shell } from './shell.tsx'
import { followTheme } from './theme.ts'
import { followTime } from './time.ts'

followTheme()
followAddress()
followTime()
followPointer()
followServer()
render(<Shell />, document.body)
// Until it is known, everything is offered; the server decides in any case.
learnAccess().catch(() => {})
