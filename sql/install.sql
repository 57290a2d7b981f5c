--
-- What CREATE EXTENSION makes
--
CREATE EXTENSION fast_ingest;

-- what people call
\pset format unaligned
SELECT format('%s(%s)', p.proname, replace(regexp_replace(pg_get_function_arguments(p.oid), '::[a-z ]+(\[\])?', '', 'g'),
                                           'timestamp with time zone', 'timestamptz')) AS function
FROM pg_depend d JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND p.pronamespace <> 'fast_ingest'::regnamespace
  AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'fast_ingest')
ORDER BY p.proname COLLATE "C";
\pset format aligned

-- all functions
SELECT p.oid::regprocedure AS function, p.provolatile AS volatile,
       p.proparallel AS parallel, p.prosecdef AS definer
FROM pg_depend d JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
  AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'fast_ingest')
ORDER BY p.oid::regprocedure::text COLLATE "C";

-- relations of the schema
SELECT c.oid::regclass AS relation, c.relkind AS kind
FROM pg_class c
WHERE c.relnamespace = 'fast_ingest'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'f')
ORDER BY c.relname COLLATE "C";

-- functions, types, operators, tables and views without a comment
SELECT pg_describe_object(d.classid, d.objid, 0) AS "no comment"
FROM pg_depend d
WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
  AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'fast_ingest')
  AND (d.classid IN ('pg_proc'::regclass, 'pg_operator'::regclass)
    OR d.classid = 'pg_type'::regclass AND EXISTS (SELECT FROM pg_type t
      WHERE t.oid = d.objid AND t.typelem = 0 AND (t.typrelid = 0 OR (SELECT relkind FROM pg_class WHERE oid = t.typrelid) = 'c'))
    OR d.classid = 'pg_class'::regclass AND (SELECT relkind FROM pg_class WHERE oid = d.objid) IN ('r', 'p', 'v', 'f'))
  AND obj_description(d.objid, d.classid::regclass::name) IS NULL
ORDER BY 1;

-- names of arguments and of columns that would need quotes
SELECT p.oid::regprocedure::text AS function, name
FROM pg_depend d JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid, unnest(p.proargnames) AS name
WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
  AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'fast_ingest')
  AND quote_ident(name) <> name AND name <> ''
UNION ALL
SELECT a.attrelid::regclass::text, a.attname
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
WHERE c.relnamespace = 'fast_ingest'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND quote_ident(a.attname) <> a.attname
ORDER BY 1, 2;

-- what pg_dump takes along, though the extension made it
SELECT dumped::regclass, condition
FROM pg_extension, unnest(extconfig, extcondition) AS config (dumped, condition)
WHERE extname = 'fast_ingest'
ORDER BY dumped::regclass::text COLLATE "C";

-- nothing is for everybody to write, or to call with another's rights
SELECT c.oid::regclass AS writable
FROM pg_class c
WHERE c.relnamespace = 'fast_ingest'::regnamespace AND c.relkind IN ('r', 'p', 'v')
  AND has_table_privilege('pg_monitor', c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
ORDER BY 1;

-- what monitoring may read
SELECT c.oid::regclass AS readable
FROM pg_class c
WHERE c.relnamespace = 'fast_ingest'::regnamespace AND c.relkind IN ('r', 'p', 'v')
  AND has_table_privilege('pg_monitor', c.oid, 'SELECT')
ORDER BY 1;

-- settings
SELECT name, context, vartype, unit, boot_val, min_val, max_val, enumvals
FROM pg_settings WHERE name LIKE 'fast\_ingest.%'
ORDER BY name COLLATE "C";

-- it goes, with all that was made for it, and comes again
SELECT fi_create_partition('2024-08-12');
DROP EXTENSION fast_ingest;
SELECT count(*) FROM pg_class WHERE relname LIKE 'events%' AND relkind IN ('r', 'p');
CREATE EXTENSION fast_ingest;
SELECT count(*) FROM fast_ingest.events;
