--
-- fi_status(): its columns, and how it fits together. Numbers depend on what
-- has come by HTTP, which nothing does here.
--
SELECT row_number() OVER () AS number, name, type::regtype
FROM (SELECT unnest(proargnames) AS name, unnest(proallargtypes) AS type, unnest(proargmodes) AS mode
      FROM pg_proc WHERE proname = 'fi_status') argument
WHERE mode IN ('o', 't');

-- one row for each worker
SELECT worker FROM fi_status() ORDER BY 1;

-- a worker that runs is a process of this server
SELECT s.worker
FROM fi_status() s LEFT JOIN pg_stat_activity a
  ON a.pid = s.pid AND a.backend_type = 'fast_ingest ' || split_part(s.worker, ' ', 1)
WHERE s.state = 'running' AND a.pid IS NULL;

-- states that exist
SELECT DISTINCT state FROM fi_status()
WHERE state NOT IN ('starting', 'waiting', 'running', 'retrying', 'draining', 'stopped');

-- who counts what
SELECT split_part(worker, ' ', 1) AS worker,
       num_nonnulls(received, accepted, rejected) AS of_listener,
       num_nonnulls(duplicate, discarded, committed, dead_lettered, dead_letters_dropped, staged, staging_size) AS of_flusher
FROM fi_status() ORDER BY 1;

-- the books
SELECT sum(accepted) = sum(committed) + sum(duplicate) + sum(discarded) + sum(dead_lettered) + sum(staged) AS accepted,
       sum(received) = sum(accepted) + sum(rejected) AS received
FROM fi_status();

-- the size is the setting's
SELECT staging_size = (SELECT pg_size_bytes(current_setting('fast_ingest.staging_size'))) AS size
FROM fi_status() WHERE worker LIKE 'flusher%';

-- its views: one row for each process, no wider than 100 columns in psql
SELECT * FROM fast_ingest.workers EXCEPT ALL SELECT worker, pid, state, since, last_error FROM fi_status();
SELECT count(*) = (SELECT count(*) FROM fi_status()) AS workers FROM fast_ingest.workers;
SELECT listener, pid = (SELECT pid FROM fi_status() WHERE worker = 'listener ' || listener) AS pid,
       state = 'running' AS running, received >= accepted + rejected AS received
FROM fast_ingest.listeners;
SELECT flusher, pid = (SELECT pid FROM fi_status() WHERE worker = 'flusher ' || flusher) AS pid,
       num_nulls(staged, committed, duplicate, discarded, dead_lettered) AS nulls,
       committed = (SELECT committed FROM fi_status() WHERE worker = 'flusher ' || flusher) AS committed
FROM fast_ingest.flushers;
SELECT view, sum(width + 3) - 1 <= 100 AS fits
FROM (SELECT view, key, max(greatest(length(key), length(value))) AS width
      FROM (SELECT 'workers' AS view, to_jsonb(w) AS row FROM fast_ingest.workers w UNION ALL
            SELECT 'listeners', to_jsonb(l) FROM fast_ingest.listeners l UNION ALL
            SELECT 'flushers', to_jsonb(f) FROM fast_ingest.flushers f) AS rows, jsonb_each_text(row)
      GROUP BY view, key) AS columns
GROUP BY view ORDER BY view;

-- fi_version(): library and SQL objects are those of one release
SELECT library = sql_objects AS same, sql_objects = extversion AS version
FROM fi_version(), pg_extension WHERE extname = 'fast_ingest';
BEGIN;
UPDATE pg_extension SET extversion = '0.1' WHERE extname = 'fast_ingest';
SELECT library = sql_objects AS same, sql_objects FROM fi_version();
ROLLBACK;
