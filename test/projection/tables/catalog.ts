import type pg from 'pg'

const definitions = `
SELECT line FROM (
  SELECT format('class %s %s %s %s %s %s %s %s', c.oid::regclass, c.relkind, c.relpersistence, c.relreplident,
    c.relrowsecurity, c.relforcerowsecurity, c.reloptions, pg_get_userbyid(c.relowner)) || coalesce(' # ' || obj_description(c.oid, 'pg_class'), '')
    || coalesce((SELECT string_agg(format('%s/%s/%s', a.grantee, a.privilege_type, a.is_grantable), ' ' ORDER BY 1)
        FROM aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a WHERE c.relkind <> 'S'), '') AS line, c.relnamespace AS space
  FROM pg_class c WHERE c.relkind <> 't'
  UNION ALL
  SELECT format('toast of %s %s', c.oid::regclass, t.reloptions), c.relnamespace FROM pg_class c JOIN pg_class t ON t.oid = c.reltoastrelid
  UNION ALL
  SELECT format('column %s %I %s %s %s %s %s %s %s %s %s', a.attrelid::regclass, a.attname, row_number() OVER (PARTITION BY a.attrelid ORDER BY a.attnum),
    format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated, a.attstorage, a.attcompression, a.attoptions,
    to_jsonb(a) -> 'attstattarget') || coalesce(' # ' || col_description(a.attrelid, a.attnum), '')
    || coalesce((SELECT string_agg(format('%s/%s', g.grantee, g.privilege_type), ' ' ORDER BY 1) FROM aclexplode(a.attacl) g), '')
    || format(' %s %s', a.attcollation::regcollation, (SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum)),
    c.relnamespace
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind <> 't'
  UNION ALL
  SELECT format('constraint %s %I %s %s', k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid), obj_description(k.oid, 'pg_constraint')), k.connamespace
  FROM pg_constraint k
  UNION ALL
  SELECT format('index %s %s %s', pg_get_indexdef(i.indexrelid), i.indisclustered, i.indisreplident), c.relnamespace
  FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
  UNION ALL
  SELECT format('trigger %s %s %s', pg_get_triggerdef(t.oid), t.tgenabled, obj_description(t.oid, 'pg_trigger')), c.relnamespace
  FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE NOT t.tgisinternal
  UNION ALL
  SELECT format('rule %s %s %s', pg_get_ruledef(r.oid), r.ev_enabled, obj_description(r.oid, 'pg_rewrite')), c.relnamespace
  FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class
  UNION ALL
  SELECT format('policy %s %s %s %s %s %s %s %s', p.polrelid::regclass, p.polname, p.polpermissive, p.polcmd, p.polroles,
    pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid), obj_description(p.oid, 'pg_policy')), c.relnamespace
  FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
  UNION ALL
  SELECT format('statistics %s %s', pg_get_statisticsobjdef(s.oid), obj_description(s.oid, 'pg_statistic_ext'))
    || (to_jsonb(s) -> 'stxstattarget')::text, c.relnamespace FROM pg_statistic_ext s JOIN pg_class c ON c.oid = s.stxrelid
  UNION ALL
  SELECT format('sequence %s %s', s.seqrelid::regclass, to_jsonb(s) - 'seqrelid'), c.relnamespace FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid
  UNION ALL
  SELECT format('owned %s by %s.%s %s', d.objid::regclass, d.refobjid::regclass, a.attname, d.deptype), c.relnamespace
  FROM pg_depend d JOIN pg_class c ON c.oid = d.objid AND c.relkind = 'S' JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
  WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
  UNION ALL
  SELECT format('heir %s of %s', i.inhrelid::regclass, i.inhparent::regclass), c.relnamespace FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
  UNION ALL
  SELECT format('published %s %s', p.pubname, to_jsonb(m) - '{oid,prpubid,prrelid,prqual}'::text[]), c.relnamespace
  FROM pg_publication_rel m JOIN pg_publication p ON p.oid = m.prpubid JOIN pg_class c ON c.oid = m.prrelid
  UNION ALL
  SELECT format('function %s %s', f.oid::regprocedure, pg_get_function_result(f.oid)), f.pronamespace FROM pg_proc f
) AS lines WHERE space = quote_ident($1)::regnamespace ORDER BY line`

/** All that a schema of a database holds, as texts: what must be the same before and after a rebuild. */
export async function readCatalog(client: pg.Client, schema: string): Promise<string[]> {
  const { rows: path } = await client.query<{ path: string }>(
    `SELECT current_setting('search_path') AS path`,
  )
  await client.query(`SET search_path = ''`)
  const { rows } = await client.query<{ line: string }>(definitions, [schema])
  await client.query(`SELECT set_config('search_path', $1, false)`, [path[0]?.path])
  return rows.map(({ line }) => line)
}
