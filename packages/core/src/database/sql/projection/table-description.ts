// Everything that the catalogs know of one table ($1, a name) among those that belong together ($2), one row for each thing. Whole rows of the catalogs are
// taken (to_jsonb), without identities, counters and what is told by a text instead: what a later Postgres adds is
// compared without a change here. The texts are the pretty ones, which leave out the schema of what is on the search path.
//
// `column`, `trigger` and `rule` decide which rows come of a write; `dependent` is what points at the table by identity.

const without = (alias: string, columns: string): string =>
  `(to_jsonb(${alias}) - '{${columns}}'::text[])`

const privileges = (acl: string, kind: string, owner: string): string =>
  `(SELECT jsonb_agg(to_jsonb(x) ORDER BY x::text) FROM aclexplode(coalesce(${acl}, acldefault('${kind}', ${owner}))) AS x)`

const classIdentity =
  'oid,relname,relnamespace,reltype,relfilenode,relpages,reltuples,relallvisible,relallfrozen,reltoastrelid,relfrozenxid,' +
  'relminmxid,relhasindex,relhasrules,relhastriggers,relhassubclass,relnatts,relchecks,relrewrite,relacl'

const ofClass = (alias: string, kind: string): string =>
  `${without(alias, classIdentity)} || jsonb_build_object('privileges', ${privileges(`${alias}.relacl`, kind, `${alias}.relowner`)},
     'comment', obj_description(${alias}.oid, 'pg_class'))`

export const describeTable: string = `
WITH own AS MATERIALIZED (
  SELECT c.* FROM pg_class c WHERE c.oid = $1::text::regclass
), columns AS MATERIALIZED (
  SELECT a.*, row_number() OVER (ORDER BY a.attnum) AS position FROM pg_attribute a
  WHERE a.attrelid = (SELECT oid FROM own) AND a.attnum > 0 AND NOT a.attisdropped
), sequences AS MATERIALIZED (
  SELECT d.objid AS oid, d.refobjsubid AS attnum, d.deptype::text AS tie FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
  WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = (SELECT oid FROM own)
    AND d.deptype IN ('a', 'i')
), family AS MATERIALIZED (
  SELECT c.* FROM pg_class c WHERE c.oid = ANY ($2::text[]::regclass[]::oid[])
), parts AS MATERIALIZED (
  SELECT 'pg_class'::regclass AS classid, oid, oid AS relation FROM family
  UNION ALL SELECT 'pg_class'::regclass, indexrelid, indrelid FROM pg_index WHERE indrelid IN (SELECT oid FROM family)
  UNION ALL SELECT 'pg_class'::regclass, oid, (SELECT oid FROM own) FROM sequences
  UNION ALL SELECT 'pg_class'::regclass, reltoastrelid, oid FROM family
  UNION ALL SELECT 'pg_class'::regclass, i.indexrelid, f.oid FROM family f JOIN pg_index i ON i.indrelid = f.reltoastrelid
  UNION ALL SELECT 'pg_type'::regclass, reltype, oid FROM family
  UNION ALL SELECT 'pg_type'::regclass, t.typarray, f.oid FROM family f JOIN pg_type t ON t.oid = f.reltype
  UNION ALL SELECT 'pg_constraint'::regclass, oid, conrelid FROM pg_constraint WHERE conrelid IN (SELECT oid FROM family)
  UNION ALL SELECT 'pg_attrdef'::regclass, oid, adrelid FROM pg_attrdef WHERE adrelid IN (SELECT oid FROM family)
  UNION ALL SELECT 'pg_trigger'::regclass, oid, tgrelid FROM pg_trigger WHERE tgrelid IN (SELECT oid FROM family)
  UNION ALL SELECT 'pg_policy'::regclass, oid, polrelid FROM pg_policy WHERE polrelid IN (SELECT oid FROM family)
  UNION ALL SELECT 'pg_rewrite'::regclass, oid, ev_class FROM pg_rewrite WHERE ev_class IN (SELECT oid FROM family)
  UNION ALL SELECT 'pg_statistic_ext'::regclass, oid, stxrelid FROM pg_statistic_ext WHERE stxrelid IN (SELECT oid FROM family)
), found AS (
  SELECT 'table' AS what, ${ofClass('c', 'r')} || jsonb_build_object(
    'toast', (SELECT to_jsonb(t.reloptions) FROM pg_class t WHERE t.oid = c.reltoastrelid)) AS detail
  FROM own c
  UNION ALL
  SELECT 'column ' || a.attname, jsonb_build_object('position', a.position, 'type', format_type(a.atttypid, a.atttypmod),
    'collation', a.attcollation, 'identity', a.attidentity, 'generated', a.attgenerated,
    'default', (SELECT pg_get_expr(d.adbin, d.adrelid, true) FROM pg_attrdef d WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum))
  FROM columns a
  UNION ALL
  SELECT 'options of column ' || a.attname, ${without('a', 'attrelid,attnum,position,attcacheoff,atthasmissing,attmissingval,attacl')}
    || jsonb_build_object('privileges', ${privileges('a.attacl', 'c', '(SELECT relowner FROM own)')},
      'comment', col_description(a.attrelid, a.attnum))
  FROM columns a
  UNION ALL
  SELECT 'sequence of column ' || a.attname, ${without('q', 'seqrelid')} || ${ofClass('c', 's')}
    || jsonb_build_object('name', c.relname)
  FROM sequences s JOIN pg_class c ON c.oid = s.oid JOIN pg_sequence q ON q.seqrelid = s.oid
  JOIN columns a ON a.attnum = s.attnum WHERE s.tie = 'i'
  UNION ALL
  SELECT 'constraint ' || k.conname, ${without('k', 'oid,conrelid,connamespace,conindid,contypid,confrelid,conkey,confkey,conbin,confdelsetcols')}
    || jsonb_build_object('text', pg_get_constraintdef(k.oid, true), 'comment', obj_description(k.oid, 'pg_constraint'),
      'triggers', (SELECT jsonb_agg(jsonb_build_array(t.tgtype, t.tgenabled) ORDER BY t.tgtype, t.tgenabled)
        FROM pg_trigger t WHERE t.tgconstraint = k.oid AND t.tgrelid = k.conrelid AND t.tgisinternal))
  FROM pg_constraint k WHERE k.conrelid = (SELECT oid FROM own)
  UNION ALL
  SELECT 'index ' || c.relname, ${ofClass('c', 'r')} || ${without('i', 'indexrelid,indrelid,indkey,indexprs,indpred,indcheckxmin')}
    || jsonb_build_object('text', pg_get_indexdef(c.oid, 0, true), 'columns', (
      SELECT jsonb_agg(jsonb_build_array(a.attnum, a.attname, to_jsonb(a) -> 'attstattarget', a.attoptions) ORDER BY a.attnum)
      FROM pg_attribute a WHERE a.attrelid = c.oid))
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = (SELECT oid FROM own)
  UNION ALL
  SELECT 'trigger ' || t.tgname, jsonb_build_object('text', pg_get_triggerdef(t.oid, true), 'enabled', t.tgenabled)
  FROM pg_trigger t WHERE t.tgrelid = (SELECT oid FROM own) AND NOT t.tgisinternal
  UNION ALL
  SELECT 'options of trigger ' || t.tgname, ${without('t', 'oid,tgrelid,tgconstrrelid,tgconstrindid,tgconstraint,tgattr,tgqual')}
    || jsonb_build_object('comment', obj_description(t.oid, 'pg_trigger'))
  FROM pg_trigger t WHERE t.tgrelid = (SELECT oid FROM own) AND NOT t.tgisinternal
  UNION ALL
  SELECT 'rule ' || r.rulename, jsonb_build_object('text', pg_get_ruledef(r.oid, true), 'enabled', r.ev_enabled)
  FROM pg_rewrite r WHERE r.ev_class = (SELECT oid FROM own)
  UNION ALL
  SELECT 'options of rule ' || r.rulename, ${without('r', 'oid,ev_class,ev_qual,ev_action')}
    || jsonb_build_object('comment', obj_description(r.oid, 'pg_rewrite'))
  FROM pg_rewrite r WHERE r.ev_class = (SELECT oid FROM own)
  UNION ALL
  SELECT 'policy ' || p.polname, ${without('p', 'oid,polrelid,polqual,polwithcheck')}
    || jsonb_build_object('using', pg_get_expr(p.polqual, p.polrelid, true),
      'check', pg_get_expr(p.polwithcheck, p.polrelid, true), 'comment', obj_description(p.oid, 'pg_policy'))
  FROM pg_policy p WHERE p.polrelid = (SELECT oid FROM own)
  UNION ALL
  SELECT 'statistics ' || s.stxname, ${without('s', 'oid,stxrelid,stxnamespace,stxkeys,stxexprs')}
    || jsonb_build_object('columns', pg_get_statisticsobjdef_columns(s.oid), 'comment', obj_description(s.oid, 'pg_statistic_ext'))
  FROM pg_statistic_ext s WHERE s.stxrelid = (SELECT oid FROM own)
  UNION ALL
  SELECT 'security label ' || l.provider || ' ' || l.objsubid, to_jsonb(l.label)
  FROM pg_seclabel l WHERE l.classoid = 'pg_class'::regclass AND l.objoid = (SELECT oid FROM own)
  UNION ALL
  SELECT 'parent ' || i.inhparent::regclass, 'true'::jsonb FROM pg_inherits i WHERE i.inhrelid = (SELECT oid FROM own)
  UNION ALL
  SELECT 'extension ' || e.extname || ' for ' || pg_describe_object(p.classid, p.oid, 0), to_jsonb(d.deptype)
  FROM parts p JOIN pg_depend d ON d.classid = p.classid AND d.objid = p.oid AND d.refclassid = 'pg_extension'::regclass
  JOIN pg_extension e ON e.oid = d.refobjid WHERE p.relation = (SELECT oid FROM own)
  UNION ALL
  -- Also those of all tables, or of all of a schema: their subscribers would get neither the rows that go nor those that come.
  SELECT DISTINCT 'dependent publication ' || v.pubname, 'true'::jsonb
  FROM own c JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_publication_tables v ON v.schemaname = n.nspname AND v.tablename = c.relname
  UNION ALL
  -- A copy has no partitions, and so nothing of what theirs alone do to the rows that come to them. Before 15 those that a
  -- partition has of its parent are internal.
  SELECT 'trigger ' || t.tgname || ' of partition ' || t.tgrelid::regclass, jsonb_build_object('enabled', t.tgenabled)
  FROM pg_partition_tree((SELECT oid FROM own)::regclass) AS tree JOIN pg_trigger t ON t.tgrelid = tree.relid
  LEFT JOIN pg_trigger o ON o.oid = t.tgparentid
  WHERE tree.level > 0 AND (NOT t.tgisinternal OR t.tgparentid <> 0 AND t.tgconstraint = 0) AND t.tgtype & 1 = 1 AND t.tgenabled IS DISTINCT FROM o.tgenabled
  UNION ALL
  SELECT DISTINCT 'dependent ' || pg_describe_object(d.classid, d.objid, 0), 'true'::jsonb
  FROM parts p JOIN pg_depend d ON d.refclassid = p.classid AND d.refobjid = p.oid
  WHERE p.relation = (SELECT oid FROM own) AND NOT EXISTS (SELECT FROM parts o WHERE o.classid = d.classid AND o.oid = d.objid)
    AND NOT (d.classid = 'pg_attrdef'::regclass AND EXISTS (SELECT FROM sequences s WHERE s.oid = d.refobjid AND s.tie = 'a'))
    AND NOT (d.classid = 'pg_trigger'::regclass AND EXISTS (SELECT FROM pg_trigger t WHERE t.oid = d.objid AND t.tgisinternal))
)
SELECT what, detail::text AS detail FROM found ORDER BY what`
