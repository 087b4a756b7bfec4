// What an exchange of the contents of one table ($1, a name) must know.

// The columns that can be written; the key that tells its rows apart, if it has one: the primary key before others;
// and whether a foreign key refers to it: then rows that stay are updated, because they must not be deleted.
export const contentsOf: string = `
SELECT (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a
   WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '') AS columns,
  (SELECT array_agg(a.attname::text) FROM pg_attribute a
   WHERE a.attrelid = c.oid AND NOT a.attisdropped AND a.attidentity = 'a') AS always,
  (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_index i
   JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY ((i.indkey::smallint[])[0:i.indnkeyatts - 1])
   WHERE i.indexrelid = (SELECT i.indexrelid FROM pg_index i
     WHERE i.indrelid = c.oid AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
       AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = i.indrelid AND NOT a.attnotnull
         AND a.attnum = ANY ((i.indkey::smallint[])[0:i.indnkeyatts - 1]))
     ORDER BY NOT i.indisprimary, i.indexrelid LIMIT 1)) AS key,
  EXISTS (SELECT FROM pg_constraint k WHERE k.contype = 'f' AND k.confrelid = c.oid) AS referenced,
  (SELECT array_agg(DISTINCT k.confrelid::text) FROM pg_constraint k WHERE k.contype = 'f' AND k.conrelid = c.oid) AS parents
FROM pg_class c WHERE c.oid = $1::text::regclass`

// What is written without: triggers (they ran when the copy was written), rules, and policies that hold for the owner,
// too; in the table and its partitions. Each statement with the one that undoes it.
export const guardsOf: string = `
WITH tree AS (
  SELECT relid, level FROM pg_partition_tree($1::text::regclass)
  UNION SELECT $1::text::regclass, 0
)
SELECT format('ALTER TABLE %s DISABLE TRIGGER %I', t.relid, g.tgname) AS off,
  format('ALTER TABLE %s %s TRIGGER %I', t.relid,
    CASE g.tgenabled WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA' WHEN 'A' THEN 'ENABLE ALWAYS' ELSE 'ENABLE' END, g.tgname) AS on, t.level
FROM tree t JOIN pg_trigger g ON g.tgrelid = t.relid AND NOT g.tgisinternal
UNION ALL
SELECT format('ALTER TABLE %s DISABLE RULE %I', t.relid, r.rulename),
  format('ALTER TABLE %s %s RULE %I', t.relid,
    CASE r.ev_enabled WHEN 'R' THEN 'ENABLE REPLICA' WHEN 'A' THEN 'ENABLE ALWAYS' ELSE 'ENABLE' END, r.rulename), t.level
FROM tree t JOIN pg_rewrite r ON r.ev_class = t.relid AND r.ev_enabled <> 'D'
UNION ALL
SELECT format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY', c.oid::regclass), format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', c.oid::regclass), t.level
FROM tree t JOIN pg_class c ON c.oid = t.relid AND c.relforcerowsecurity
ORDER BY 3, 1`

// Foreign keys of tables that are not the projection's ($2), by which deleting a row of it would change theirs.
export const cascadesOf: string = `
SELECT k.conname::text AS name, k.conrelid::regclass::text AS relation,
  (SELECT array_agg(a.attname::text ORDER BY u.position) FROM unnest(k.conkey) WITH ORDINALITY AS u (number, position)
   JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.number) AS referring,
  (SELECT array_agg(a.attname::text ORDER BY u.position) FROM unnest(k.confkey) WITH ORDINALITY AS u (number, position)
   JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.number) AS referred
FROM pg_constraint k
WHERE k.contype = 'f' AND k.confrelid = $1::text::regclass AND k.confdeltype IN ('c', 'n', 'd') AND k.conparentid = 0
  AND k.conrelid <> ALL ($2::text[]::regclass[]::oid[])`

// Where the identity columns of a table ($1) and of its copy ($2) draw from.
export const sequencesOf: string = `
SELECT pg_get_serial_sequence($1::text, a.attname) AS live, pg_get_serial_sequence($2::text, a.attname) AS copy
FROM pg_attribute a WHERE a.attrelid = $1::text::regclass AND a.attidentity <> '' AND NOT a.attisdropped`
