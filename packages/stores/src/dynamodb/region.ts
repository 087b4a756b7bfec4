import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { TidemarkError } from 'tidemark'

/**
 * The region that AWS's own tools would use: `AWS_REGION`, `AWS_DEFAULT_REGION`, or that of the profile in `~/.aws/config`.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OPTION when none of them says.
 */
export function regionOf(
  environment: Readonly<Record<string, string | undefined>> = process.env,
): string {
  const given = environment['AWS_REGION'] || environment['AWS_DEFAULT_REGION']
  if (given) return given
  const file = environment['AWS_CONFIG_FILE'] || join(homedir(), '.aws', 'config')
  const profile = environment['AWS_PROFILE'] || 'default'
  const found = regionIn(readIfThere(file), profile)
  if (found !== undefined) return found
  throw new TidemarkError('TIDEMARK_INVALID_OPTION', 'no region of AWS is known', {
    hint: `Give \`region\`, set AWS_REGION, or name one in ${file} for the profile "${profile}".`,
    details: { option: 'region', profile },
  })
}

function regionIn(config: string, profile: string): string | undefined {
  let section = ''
  for (const line of config.split('\n')) {
    const [, name] = /^\s*\[(?:profile\s+)?([^\]]+?)\s*\]/u.exec(line) ?? []
    if (name !== undefined) section = name
    const [, region] = /^\s*region\s*=\s*(\S+)/u.exec(line) ?? []
    if (section === profile && region !== undefined) return region
  }
  return undefined
}

function readIfThere(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    // Most machines have none.
    return ''
  }
}
