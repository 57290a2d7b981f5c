--
-- What CREATE EXTENSION makes
--
CREATE EXTENSION fast_ingest;

-- functions, all of them with a comment
SELECT p.oid::regprocedure AS function, p.provolatile AS volatile,
       p.proparallel AS parallel, p.prosecdef AS definer,
       obj_description(p.oid, 'pg_proc') IS NOT NULL AS comment
FROM pg_depend d JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
  AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'fast_ingest')
ORDER BY p.oid::regprocedure::text COLLATE "C";

-- relations of the schema, all of them with a comment
SELECT c.oid::regclass AS relation, c.relkind AS kind,
       obj_description(c.oid, 'pg_class') IS NOT NULL AS comment
FROM pg_class c
WHERE c.relnamespace = 'fast_ingest'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'f')
ORDER BY c.relname COLLATE "C";

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
