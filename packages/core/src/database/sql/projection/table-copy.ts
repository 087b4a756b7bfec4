// The statements that make a copy of one table ($1, a name) in the schema $2. They run with that schema in front of the
// search path on which these questions are asked: definitions name what is on it without its schema, so that the copies
// mean each other where the tables do.

// A copy of an unlogged table is logged: a crash of the server would empty it, and the generation go on from its cursor.
export const likeStatement: string = `
SELECT format('CREATE TABLE %I.%I (LIKE %s INCLUDING COMMENTS INCLUDING COMPRESSION INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING IDENTITY INCLUDING STORAGE)%s%s',
  $2::text, c.relname, c.oid::regclass,
  ' USING ' || quote_ident((SELECT amname FROM pg_am WHERE oid = c.relam)),
  ' TABLESPACE ' || quote_ident((SELECT spcname FROM pg_tablespace WHERE oid = c.reltablespace))) AS text
FROM pg_class c WHERE c.oid = $1::text::regclass`

const firing = (state: string): string =>
  `CASE ${state} WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA' WHEN 'A' THEN 'ENABLE ALWAYS' END`

const grants = (acl: string, columns: string, from: string): string =>
  `format('GRANT %s ON %s TO %s%s', a.privilege_type || ${columns}, c.copy,
     CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
     CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END), true
   FROM ${from}, LATERAL aclexplode(${acl}) AS a WHERE a.grantee <> c.relowner`

export const copyStatements: string = `
WITH own AS (
  SELECT c.*, format('%I.%I', $2::text, c.relname) AS copy FROM pg_class c WHERE c.oid = $1::text::regclass
), steps AS (
  SELECT 1 AS step, format('ALTER SEQUENCE %s RENAME TO %I', pg_get_serial_sequence(c.copy, a.attname), s.relname) AS text, false AS optional
  FROM own c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attidentity <> '' AND NOT a.attisdropped
  JOIN pg_class s ON s.oid = pg_get_serial_sequence(c.oid::regclass::text, a.attname)::regclass
  WHERE pg_get_serial_sequence(c.copy, a.attname)::regclass <> coalesce(to_regclass(format('%I.%I', $2::text, s.relname)), 0::regclass)
  UNION ALL
  SELECT CASE k.contype WHEN 'c' THEN 2 WHEN 'f' THEN 5 ELSE 3 END,
    format('ALTER TABLE %s ADD CONSTRAINT %I %s', c.copy, k.conname, pg_get_constraintdef(k.oid, true)), false
  FROM own c JOIN pg_constraint k ON k.conrelid = c.oid WHERE k.contype IN ('c', 'p', 'u', 'x', 'f')
    -- A foreign key to a partitioned table has one to each partition, too, which come with it.
    AND NOT EXISTS (SELECT FROM pg_constraint o WHERE o.oid = k.conparentid AND o.conrelid = k.conrelid)
  UNION ALL
  SELECT 4, pg_get_indexdef(i.indexrelid, 0, true), false
  FROM own c JOIN pg_index i ON i.indrelid = c.oid
  WHERE i.indisvalid AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = c.oid AND k.conindid = i.indexrelid)
  UNION ALL
  SELECT 6, format('CREATE STATISTICS %I.%I %s ON %s FROM %s', $2::text, s.stxname,
    (SELECT '(' || string_agg(CASE kind WHEN 'd' THEN 'ndistinct' WHEN 'f' THEN 'dependencies' WHEN 'm' THEN 'mcv' END, ', ') || ')'
     FROM unnest(s.stxkind) AS kind WHERE kind <> 'e'), pg_get_statisticsobjdef_columns(s.oid), c.copy), true
  FROM own c JOIN pg_statistic_ext s ON s.stxrelid = c.oid
  UNION ALL
  SELECT 7, format('ALTER TABLE %s SET (%s)', c.copy, array_to_string(c.reloptions, ', ')), true
  FROM own c WHERE c.reloptions IS NOT NULL
  UNION ALL
  SELECT 7, format('ALTER TABLE %s SET (toast.%s)', c.copy, array_to_string(t.reloptions, ', toast.')), true
  FROM own c JOIN pg_class t ON t.oid = c.reltoastrelid WHERE t.reloptions IS NOT NULL
  UNION ALL
  SELECT 7, format('ALTER INDEX %I.%I SET (%s)', $2::text, x.relname, array_to_string(x.reloptions, ', ')), true
  FROM own c JOIN pg_index i ON i.indrelid = c.oid JOIN pg_class x ON x.oid = i.indexrelid WHERE x.reloptions IS NOT NULL
  UNION ALL
  SELECT 7, format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS %s', c.copy, a.attname, a.attstattarget), true
  FROM own c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped WHERE a.attstattarget >= 0
  UNION ALL
  SELECT 7, format('ALTER TABLE %s ALTER COLUMN %I SET (%s)', c.copy, a.attname, array_to_string(a.attoptions, ', ')), true
  FROM own c JOIN pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped WHERE a.attoptions IS NOT NULL
  UNION ALL
  SELECT 8, pg_get_triggerdef(t.oid, true), false
  FROM own c JOIN pg_trigger t ON t.tgrelid = c.oid WHERE NOT t.tgisinternal
  UNION ALL
  SELECT 9, format('ALTER TABLE %s %s TRIGGER %I', c.copy, ${firing('t.tgenabled')}, t.tgname), false
  FROM own c JOIN pg_trigger t ON t.tgrelid = c.oid WHERE NOT t.tgisinternal AND t.tgenabled <> 'O'
  UNION ALL
  SELECT 8, pg_get_ruledef(r.oid, true), false FROM own c JOIN pg_rewrite r ON r.ev_class = c.oid
  UNION ALL
  SELECT 9, format('ALTER TABLE %s %s RULE %I', c.copy, ${firing('r.ev_enabled')}, r.rulename), false
  FROM own c JOIN pg_rewrite r ON r.ev_class = c.oid WHERE r.ev_enabled <> 'O'
  UNION ALL
  SELECT 10, format('CREATE POLICY %I ON %s AS %s FOR %s TO %s%s%s', p.polname, c.copy,
    CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
    CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
    (SELECT string_agg(CASE WHEN r = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r)) END, ', ') FROM unnest(p.polroles) r),
    ' USING (' || pg_get_expr(p.polqual, p.polrelid, true) || ')',
    ' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid, true) || ')'), false
  FROM own c JOIN pg_policy p ON p.polrelid = c.oid
  UNION ALL
  SELECT 11, format('ALTER TABLE %s %s ROW LEVEL SECURITY', c.copy, v.mode), false
  FROM own c, LATERAL (VALUES (c.relrowsecurity, 'ENABLE'), (c.relforcerowsecurity, 'FORCE')) AS v (wanted, mode) WHERE v.wanted
  UNION ALL
  SELECT 11, format('ALTER TABLE %s REPLICA IDENTITY %s', c.copy, CASE c.relreplident WHEN 'f' THEN 'FULL' ELSE 'NOTHING' END), true
  FROM own c WHERE c.relreplident IN ('f', 'n')
  UNION ALL
  SELECT 11, format('ALTER TABLE %s REPLICA IDENTITY USING INDEX %I', c.copy, x.relname), true
  FROM own c JOIN pg_index i ON i.indrelid = c.oid AND i.indisreplident JOIN pg_class x ON x.oid = i.indexrelid
  UNION ALL
  SELECT 11, format('ALTER TABLE %s CLUSTER ON %I', c.copy, x.relname), true
  FROM own c JOIN pg_index i ON i.indrelid = c.oid AND i.indisclustered JOIN pg_class x ON x.oid = i.indexrelid
  UNION ALL
  SELECT 12, format('COMMENT ON %s IS %L', d.what, d.comment), true FROM own c, LATERAL (
    SELECT 'TABLE ' || c.copy AS what, obj_description(c.oid, 'pg_class') AS comment
    UNION ALL SELECT format('CONSTRAINT %I ON %s', k.conname, c.copy), obj_description(k.oid, 'pg_constraint')
      FROM pg_constraint k WHERE k.conrelid = c.oid
    UNION ALL SELECT format('INDEX %I.%I', $2::text, x.relname), obj_description(x.oid, 'pg_class')
      FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = c.oid
    UNION ALL SELECT format('TRIGGER %I ON %s', t.tgname, c.copy), obj_description(t.oid, 'pg_trigger')
      FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal
    UNION ALL SELECT format('RULE %I ON %s', r.rulename, c.copy), obj_description(r.oid, 'pg_rewrite')
      FROM pg_rewrite r WHERE r.ev_class = c.oid
    UNION ALL SELECT format('POLICY %I ON %s', p.polname, c.copy), obj_description(p.oid, 'pg_policy')
      FROM pg_policy p WHERE p.polrelid = c.oid
    UNION ALL SELECT format('STATISTICS %I.%I', $2::text, s.stxname), obj_description(s.oid, 'pg_statistic_ext')
      FROM pg_statistic_ext s WHERE s.stxrelid = c.oid) AS d
  WHERE d.comment IS NOT NULL
  UNION ALL
  SELECT 13, format('REVOKE ALL ON %s FROM %s', c.copy, CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END), true
  FROM own c JOIN pg_class n ON n.oid = c.copy::regclass, LATERAL aclexplode(n.relacl) AS a WHERE a.grantee <> n.relowner
  UNION ALL
  SELECT 14, ${grants('c.relacl', `''`, 'own c')}
  UNION ALL
  SELECT 14, ${grants('b.attacl', `format(' (%I)', b.attname)`, 'own c JOIN pg_attribute b ON b.attrelid = c.oid AND NOT b.attisdropped')}
  UNION ALL
  SELECT 15, format('ALTER TABLE %s OWNER TO %I', c.copy, pg_get_userbyid(c.relowner)), true
  FROM own c WHERE pg_get_userbyid(c.relowner) <> current_user
)
SELECT step, text, optional FROM steps WHERE text IS NOT NULL`

// Views of tables ($1), and views of those, that are found by their names alone; each after those that it reads.
export const viewsOf: string = `
WITH RECURSIVE reading (oid, depth) AS (
  SELECT r.ev_class, 1 FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
  WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY ($1::text[]::oid[])
  UNION
  SELECT r.ev_class, v.depth + 1 FROM reading v JOIN pg_depend d ON d.refobjid = v.oid JOIN pg_rewrite r ON r.oid = d.objid
  WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND r.ev_class <> v.oid AND v.depth < 20
)
SELECT format('CREATE VIEW %I.%I %s AS %s', $2::text, c.relname, 'WITH (' || array_to_string(c.reloptions, ', ') || ')',
  pg_get_viewdef(c.oid, true)) AS text
FROM (SELECT oid, max(depth) AS depth FROM reading GROUP BY oid) AS v JOIN pg_class c ON c.oid = v.oid
WHERE c.relkind = 'v' AND pg_table_is_visible(c.oid)
ORDER BY v.depth`
