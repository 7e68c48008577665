-- Makes the empty place for one part of a node's tables on another PostgreSQL server.
--
--   psql -v part=evidence_3 -f receive-part.sql postgres://USER@OTHER-SERVER/DATABASE
--
-- Parts are lookup_index_0 to _7, evidence_0 to _7 and evidence_items_0 to _7. docs/scaling.md says
-- what comes before and after.
\set ON_ERROR_STOP on
BEGIN;

SELECT regexp_replace(:'part', '_[0-7]$', '') AS whole \gset
SELECT :'whole' = 'lookup_index' AS is_index, :'whole' = 'evidence' AS is_evidence,
       :'whole' = 'evidence_items' AS is_items \gset

\if :is_index
CREATE TABLE :"part" (
    token     BYTEA  NOT NULL,
    rule      BIGINT NOT NULL,
    record_id BIGINT NOT NULL,
    epoch     BIGINT NOT NULL,
    row_tag   BYTEA  NOT NULL,
    PRIMARY KEY (token, rule, record_id)
);
CREATE INDEX ON :"part" (record_id);
\elif :is_evidence
CREATE TABLE :"part" (
    leaf_index BIGINT NOT NULL,
    part       BIGINT NOT NULL,
    data_key   BYTEA  NOT NULL,
    sealed     BYTEA  NOT NULL,
    PRIMARY KEY (leaf_index, part)
);
CREATE INDEX ON :"part" (leaf_index) WHERE part = 4;
\elif :is_items
CREATE TABLE :"part" (
    leaf_index BIGINT NOT NULL,
    part       BIGINT NOT NULL,
    position   BIGINT NOT NULL,
    item_hash  BYTEA  NOT NULL,
    data_key   BYTEA,
    sealed     BYTEA,
    PRIMARY KEY (leaf_index, part, position)
);
\else
SELECT 'no such part: ' || :'part' AS error;
DO $$ BEGIN RAISE EXCEPTION 'parts are lookup_index_0 to _7, evidence_0 to _7 and evidence_items_0 to _7'; END $$;
\endif

COMMIT;
