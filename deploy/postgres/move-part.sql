-- Moves one part of a node's tables to another PostgreSQL server, while the node runs.
--
--   psql -v part=evidence_3 -v server=archive -f move-part.sql postgres://USER@THE-NODE'S-SERVER/DATABASE
--
-- `server` is the other server's name here (CREATE SERVER), and receive-part.sql has been run there.
-- Whoever wants to write waits meanwhile. All or nothing: what fails on either side changes nothing here.
\set ON_ERROR_STOP on
\set away :part '_away'

SELECT EXISTS (SELECT FROM pg_class
               WHERE oid = to_regclass(:'part') AND relkind = 'r' AND relispartition) AS is_here \gset
\if :is_here
\else
DO $$ BEGIN RAISE EXCEPTION 'no such part, or it was moved before'; END $$;
\endif

SELECT whole.relname AS whole, pg_get_expr(part.relpartbound, part.oid) AS bound,
       (SELECT string_agg(quote_ident(attname) || ' ' || format_type(atttypid, atttypmod)
                              || CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END, ', ' ORDER BY attnum)
        FROM pg_attribute WHERE attrelid = part.oid AND attnum > 0 AND NOT attisdropped) AS columns
FROM pg_class part
JOIN pg_inherits ON inhrelid = part.oid
JOIN pg_class whole ON whole.oid = inhparent
WHERE part.oid = to_regclass(:'part') \gset

-- The writer's place is taken by a command that takes no snapshot: what is copied is the newest.
BEGIN ISOLATION LEVEL REPEATABLE READ;
LOCK TABLE writer IN EXCLUSIVE MODE;
SELECT format('CREATE FOREIGN TABLE %I (%s) SERVER %I OPTIONS (table_name %L, batch_size ''500'', fetch_size ''5000'')',
              :'away', :'columns', :'server', :'part') \gexec
INSERT INTO :"away" SELECT * FROM :"part";
ALTER TABLE :"whole" DETACH PARTITION :"part";
DROP TABLE :"part";
ALTER FOREIGN TABLE :"away" RENAME TO :"part";
SELECT format('ALTER TABLE %I ATTACH PARTITION %I %s', :'whole', :'part', :'bound') \gexec
COMMIT;
