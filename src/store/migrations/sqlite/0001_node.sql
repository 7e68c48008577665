-- Everything that could tell who or what a record is, is sealed; the clear columns are
-- row numbers, sizes, times and keyed tags.

-- A changed record is a new row; the row it replaces stays searchable until the next
-- publication mark and is then deleted.
CREATE TABLE records (
    record_id   INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given to another record
    ref_tag     BLOB    NOT NULL,         -- keyed tag of the record's reference, 16 octets
    replaces    INTEGER,                  -- the row whose place this one takes
    newest      INTEGER NOT NULL,         -- 1 for the newest row of its reference, else 0
    data_key    BLOB    NOT NULL,         -- wrapped data key
    sealed      BLOB    NOT NULL,         -- the record, sealed
    content_tag BLOB    NOT NULL,         -- keyed tag of the content, to tell a change
    family_tag  BLOB,                     -- keyed tag of the family reference
    state       INTEGER NOT NULL,         -- 0 pending, 1 enrolled, 2 published, 3 not searchable,
                                          -- 4 silent and pending, 5 silent
    updated_ms  INTEGER NOT NULL
);
CREATE UNIQUE INDEX records_by_ref ON records (ref_tag) WHERE newest = 1;
CREATE INDEX records_by_state ON records (state, record_id);
CREATE INDEX records_by_replaced ON records (replaces) WHERE replaces IS NOT NULL;
CREATE INDEX records_by_family ON records (family_tag) WHERE family_tag IS NOT NULL;

-- Rows of an import that has not been committed yet.
CREATE TABLE import_rows (
    import_id   BLOB    NOT NULL,
    position    INTEGER NOT NULL,         -- place in the file, so that the register keeps its order
    ref_tag     BLOB    NOT NULL,
    data_key    BLOB    NOT NULL,
    sealed      BLOB    NOT NULL,
    content_tag BLOB    NOT NULL,
    family_tag  BLOB,
    state       INTEGER NOT NULL,
    guarded     INTEGER NOT NULL,         -- 1 if not everybody may find it
    PRIMARY KEY (import_id, ref_tag)
) WITHOUT ROWID;

-- Coalition tokens of own records under each epoch of the coalition key, sealed twice: under the
-- record's data key and under the token key, which is never exported.
CREATE TABLE record_tokens (
    record_id INTEGER NOT NULL,
    epoch     INTEGER NOT NULL,
    presence  INTEGER NOT NULL,
    row_tag   BLOB    NOT NULL,           -- vouches for record, epoch, presence and family, 8 octets
    sealed    BLOB    NOT NULL,
    PRIMARY KEY (record_id, epoch)
) WITHOUT ROWID;
CREATE INDEX record_tokens_by_epoch ON record_tokens (epoch, record_id);

-- The lookup index: what peers' tokens are compared with.
CREATE TABLE lookup_index (
    token     BLOB    NOT NULL,
    rule      INTEGER NOT NULL,
    record_id INTEGER NOT NULL,
    epoch     INTEGER NOT NULL,
    row_tag   BLOB    NOT NULL,           -- vouches for the row, 8 octets
    PRIMARY KEY (token, rule, record_id)
) WITHOUT ROWID;
CREATE INDEX lookup_index_by_record ON lookup_index (record_id);

-- Which state the index is in: one row. What was surveyed and what is answered from memory is held
-- against it.
CREATE TABLE index_state (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    content INTEGER NOT NULL,             -- grows with each change of rows that peers find or will
    mark    INTEGER NOT NULL              -- drawn anew each time that rows become visible
);
INSERT INTO index_state (id, content, mark) VALUES (1, 0, 0);

-- The epochs under which peers may ask: every enrolled record has its tokens there.
CREATE TABLE open_epochs (
    epoch INTEGER PRIMARY KEY
);

-- The same of silent records. No lookup reads it: it is compared with lookups afterwards.
CREATE TABLE silent_index (
    token     BLOB    NOT NULL,
    rule      INTEGER NOT NULL,
    record_id INTEGER NOT NULL,
    epoch     INTEGER NOT NULL,
    row_tag   BLOB    NOT NULL,
    PRIMARY KEY (token, rule, record_id)
) WITHOUT ROWID;
CREATE INDEX silent_index_by_record ON silent_index (record_id);

-- How far lookups were compared with silent records.
CREATE TABLE silent_state (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    checked  INTEGER NOT NULL,            -- leaves before this one are done
    since    INTEGER                      -- leaf from which on records that wait are to be compared
);

-- Who looked for protected records, for the holder's own people.
CREATE TABLE protection_alerts (
    alert_id   INTEGER PRIMARY KEY AUTOINCREMENT,
    alert_tag  BLOB    NOT NULL UNIQUE,   -- keyed tag of leaf, subject and record: each once
    about_tag  BLOB    NOT NULL,          -- keyed tag of the record
    leaf_index INTEGER NOT NULL,          -- the lookup's leaf
    raised_ms  INTEGER NOT NULL,
    seen_ms    INTEGER,                   -- when somebody took note of it
    sealed     BLOB    NOT NULL
);
CREATE INDEX protection_alerts_by_record ON protection_alerts (about_tag);

CREATE TABLE leads (
    lead_tag   BLOB    PRIMARY KEY,       -- SHA-256 of the lead
    about_tag  BLOB    NOT NULL,          -- keyed tag of the record
    sealed     BLOB    NOT NULL,          -- for whom, which record, which grade
    expires_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX leads_by_record ON leads (about_tag);

-- Queries answered, so that one is answered once.
CREATE TABLE seen (
    seen_tag     BLOB    PRIMARY KEY,     -- keyed tag of issuer and message id
    query_digest BLOB    NOT NULL,
    leaf_index   INTEGER NOT NULL,
    expires_ms   INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX seen_by_expiry ON seen (expires_ms);

CREATE TABLE quotas (
    quota_tag  BLOB    PRIMARY KEY,       -- keyed tag of party, quota and period
    used       INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL           -- when the period is over and the row may go
) WITHOUT ROWID;
CREATE INDEX quotas_by_expiry ON quotas (expires_ms);

-- Leaves that tell the operator of unusual use.
CREATE TABLE alerts (
    leaf_index INTEGER PRIMARY KEY
);

-- Which token sets of a party touched a record, up to the probe limit.
CREATE TABLE probes (
    probe_tag BLOB    PRIMARY KEY,        -- keyed tag of party, record and epoch
    about_tag BLOB    NOT NULL,           -- keyed tag of the record
    version   INTEGER NOT NULL,           -- how many distinct sets there were
    sealed    BLOB    NOT NULL            -- their digests, the tokens that touched, the last grade
) WITHOUT ROWID;
CREATE INDEX probes_by_record ON probes (about_tag);

-- The envelopes behind the log's leaves.
CREATE TABLE evidence (
    leaf_index INTEGER NOT NULL,
    part       INTEGER NOT NULL,          -- 0 query, 1 answer, 2 opening, 3 seed, 4 review,
                                          -- 5 document, 6 what a batch hid
    data_key   BLOB    NOT NULL,
    sealed     BLOB    NOT NULL,
    PRIMARY KEY (leaf_index, part)
) WITHOUT ROWID;
CREATE INDEX evidence_for_review ON evidence (leaf_index) WHERE part = 4;
CREATE INDEX evidence_to_forget ON evidence (leaf_index) WHERE part = 6;

-- Their items, each under its own key, so that one can be erased alone.
CREATE TABLE evidence_items (
    leaf_index INTEGER NOT NULL,
    part       INTEGER NOT NULL,
    position   INTEGER NOT NULL,
    item_hash  BLOB    NOT NULL,
    data_key   BLOB,
    sealed     BLOB,
    PRIMARY KEY (leaf_index, part, position)
) WITHOUT ROWID;

CREATE TABLE log_leaves (
    leaf_index INTEGER PRIMARY KEY,
    leaf_hash  BLOB NOT NULL,
    sealed     BLOB NOT NULL
);

-- Hashes of the perfect subtrees of the log (RFC 6962).
CREATE TABLE log_nodes (
    level INTEGER NOT NULL,
    idx   INTEGER NOT NULL,
    hash  BLOB    NOT NULL,
    PRIMARY KEY (level, idx)
) WITHOUT ROWID;

CREATE TABLE log_state (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    size       INTEGER NOT NULL,
    frontier   BLOB    NOT NULL,
    checkpoint TEXT    NOT NULL,
    term       INTEGER NOT NULL           -- in which it was signed
);

-- How many terms there were in which a process signed the log.
CREATE TABLE log_term (
    id   INTEGER PRIMARY KEY CHECK (id = 1),
    term INTEGER NOT NULL
);

-- The checkpoint that is served, with the cosignatures that witnesses gave it.
CREATE TABLE log_published (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    size       INTEGER NOT NULL,
    checkpoint TEXT    NOT NULL
);

-- How far the re-wrapping of data keys has come, by table.
CREATE TABLE rewrap_cursors (
    name       TEXT    PRIMARY KEY,
    log_number INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    part       INTEGER NOT NULL,
    position   INTEGER NOT NULL
) WITHOUT ROWID;

-- What this node remembers of others' logs as a witness: never taken back to an older state.
CREATE TABLE watched_logs (
    origin     TEXT    PRIMARY KEY,
    size       INTEGER NOT NULL,
    root       BLOB    NOT NULL,
    checkpoint TEXT    NOT NULL           -- the last one cosigned, by the log's own signature alone
) WITHOUT ROWID;

-- What peers promised to have in their logs, until it was seen there.
CREATE TABLE receipts (
    receipt_id   INTEGER PRIMARY KEY AUTOINCREMENT,
    member       TEXT    NOT NULL,
    leaf_index   INTEGER NOT NULL,
    leaf_hash    BLOB    NOT NULL,
    size         INTEGER NOT NULL,
    root         BLOB    NOT NULL,
    checkpoint   TEXT    NOT NULL,
    query_digest BLOB    NOT NULL,
    received_ms  INTEGER NOT NULL,
    state        INTEGER NOT NULL         -- 0 open, 1 broken, 2 of a log that was given up
);
CREATE INDEX receipts_by_member ON receipts (state, member, receipt_id);

-- What was found out and people have to look at, with two signed checkpoints where they prove it.
CREATE TABLE log_findings (
    kind     TEXT    NOT NULL,
    member   TEXT    NOT NULL,
    detail   TEXT    NOT NULL,
    one      TEXT    NOT NULL,
    other    TEXT    NOT NULL,
    found_ms INTEGER NOT NULL,
    PRIMARY KEY (kind, member, detail)
) WITHOUT ROWID;

-- Logs that were given up after a loss, with the evidence behind their leaves.
CREATE TABLE old_logs (
    log_number INTEGER PRIMARY KEY,
    size       INTEGER NOT NULL,
    checkpoint TEXT    NOT NULL
);
CREATE TABLE old_log_leaves (
    log_number INTEGER NOT NULL,
    leaf_index INTEGER NOT NULL,
    leaf_hash  BLOB    NOT NULL,
    sealed     BLOB    NOT NULL,
    PRIMARY KEY (log_number, leaf_index)
) WITHOUT ROWID;
CREATE TABLE old_evidence (
    log_number INTEGER NOT NULL,
    leaf_index INTEGER NOT NULL,
    part       INTEGER NOT NULL,
    data_key   BLOB    NOT NULL,
    sealed     BLOB    NOT NULL,
    PRIMARY KEY (log_number, leaf_index, part)
) WITHOUT ROWID;
CREATE TABLE old_evidence_items (
    log_number INTEGER NOT NULL,
    leaf_index INTEGER NOT NULL,
    part       INTEGER NOT NULL,
    position   INTEGER NOT NULL,
    item_hash  BLOB    NOT NULL,
    data_key   BLOB,
    sealed     BLOB,
    PRIMARY KEY (log_number, leaf_index, part, position)
) WITHOUT ROWID;

-- Single values, such as the state of the roster's trust store.
CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;

-- What other members asked to be told, and what became of it. Changed only together with a leaf.
CREATE TABLE disclosure_requests (
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    request_id BLOB    NOT NULL UNIQUE,       -- 16 random octets
    party_tag  BLOB    NOT NULL,          -- keyed tag of the asking party
    ref_tag    BLOB    NOT NULL,          -- keyed tag of the record's reference
    data_key   BLOB    NOT NULL,          -- wrapped data key
    sealed     BLOB    NOT NULL,          -- the request, its approvals, what was delivered
    state      INTEGER NOT NULL,
    version    INTEGER NOT NULL,          -- grows by one with each change
    waits      INTEGER NOT NULL,          -- 1 if people have to look at it
    stale      INTEGER NOT NULL,          -- how much has changed under it since it was looked at
    due_ms     INTEGER NOT NULL,          -- when time alone changes it next
    updated_ms INTEGER NOT NULL
);
CREATE INDEX disclosure_requests_by_party ON disclosure_requests (party_tag, updated_ms);
CREATE INDEX disclosure_requests_by_ref ON disclosure_requests (ref_tag);
CREATE INDEX disclosure_requests_by_due ON disclosure_requests (due_ms);
CREATE INDEX disclosure_requests_by_update ON disclosure_requests (updated_ms, request_id);
CREATE INDEX disclosure_requests_waiting ON disclosure_requests (waits) WHERE waits = 1;
CREATE INDEX disclosure_requests_stale ON disclosure_requests (stale) WHERE stale > 0;

-- Who entered or changed a record: they cannot approve that it is told.
CREATE TABLE record_authors (
    ref_tag    BLOB NOT NULL,             -- keyed tag of the record's reference
    account_id BLOB NOT NULL,             -- the account's pseudonym
    PRIMARY KEY (ref_tag, account_id)
) WITHOUT ROWID;

-- What this member asked others to be told.
CREATE TABLE received_disclosures (
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    ask_id     BLOB    NOT NULL UNIQUE,       -- message id of the first question
    origin_tag BLOB,                      -- keyed tag of the holder and its request id, once known
    data_key   BLOB    NOT NULL,          -- wrapped data key
    sealed     BLOB    NOT NULL,          -- holder, lead, fields, ground, state
    state      INTEGER NOT NULL,
    version    INTEGER NOT NULL,
    due_ms     INTEGER NOT NULL,          -- what was told is erased then
    updated_ms INTEGER NOT NULL
);
CREATE UNIQUE INDEX received_disclosures_by_origin ON received_disclosures (origin_tag)
    WHERE origin_tag IS NOT NULL;
CREATE INDEX received_disclosures_by_due ON received_disclosures (due_ms);

-- Behind which leaves the told values are kept, so that they can be erased in time.
CREATE TABLE received_values (
    ask_id     BLOB    NOT NULL,
    log_number INTEGER NOT NULL,          -- of a log that was given up; 0 for the one that is written
    leaf_index INTEGER NOT NULL,
    PRIMARY KEY (ask_id, log_number, leaf_index)
) WITHOUT ROWID;

-- Behind which leaves values of own records were told, and why they were asked for, so that they are
-- erased with the record.
CREATE TABLE told_values (
    ref_tag    BLOB    NOT NULL,          -- keyed tag of the record's reference
    log_number INTEGER NOT NULL,          -- of a log that was given up; 0 for the one that is written
    leaf_index INTEGER NOT NULL,
    PRIMARY KEY (ref_tag, log_number, leaf_index)
) WITHOUT ROWID;

-- Notices on their way to those who were told something, until they acknowledge, and reminders on
-- their way to the member's own people.
CREATE TABLE outbox (
    notice_id BLOB    PRIMARY KEY,        -- 16 random octets
    kind      INTEGER NOT NULL,           -- 0 notice, 1 reminder
    sealed    BLOB    NOT NULL,
    attempts  INTEGER NOT NULL,
    due_ms    INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX outbox_by_due ON outbox (kind, due_ms);

-- The people who work at this node.
CREATE TABLE accounts (
    account_id BLOB    PRIMARY KEY,       -- the pseudonym in the log, 16 random octets
    name_tag   BLOB    NOT NULL UNIQUE,   -- keyed tag of the name to sign in with
    sealed     BLOB    NOT NULL,          -- name, roles, password hash, second factor
    version    INTEGER NOT NULL           -- grows by one with each change
) WITHOUT ROWID;

CREATE TABLE sessions (
    token_hash BLOB    PRIMARY KEY,       -- SHA-256 of the token
    account_id BLOB    NOT NULL,
    began_ms   INTEGER NOT NULL,          -- when the person signed in
    used_ms    INTEGER NOT NULL,
    proved_ms  INTEGER NOT NULL           -- when the person last proved by two factors who they are; 0 for never
) WITHOUT ROWID;
CREATE INDEX sessions_by_account ON sessions (account_id);

-- Own records that were looked up at a member, with the mark that its index had then.
CREATE TABLE register_asked (
    record_id INTEGER NOT NULL,
    member    TEXT    NOT NULL,
    epoch     INTEGER NOT NULL,
    mark      BLOB    NOT NULL,
    PRIMARY KEY (record_id, member)
) WITHOUT ROWID;

-- Batches of such questions that are on their way.
CREATE TABLE register_batches (
    message_id BLOB    PRIMARY KEY,
    member     TEXT    NOT NULL,
    leaf_index INTEGER NOT NULL,          -- of the act of asking
    epoch      INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    records    BLOB    NOT NULL           -- their numbers, 8 octets each, in the order of the subjects
) WITHOUT ROWID;

-- Pseudonyms of own records in the log, sealed, so that each is made once.
CREATE TABLE record_pseudonyms (
    record_id INTEGER PRIMARY KEY,
    sealed    BLOB    NOT NULL
);

-- What the console keeps between two requests of one browser: a form that was sent when its session
-- had ended, what became of a form, an uploaded register.
CREATE TABLE console_kept (
    kept_tag   BLOB    NOT NULL,          -- SHA-256 of a secret that the browser has
    part       INTEGER NOT NULL,
    sealed     BLOB    NOT NULL,
    expires_ms INTEGER NOT NULL,
    PRIMARY KEY (kept_tag, part)
) WITHOUT ROWID;
CREATE INDEX console_kept_by_expiry ON console_kept (expires_ms);

-- Cases: what this member's own people did for one child. All of a case is under one data key.
CREATE TABLE cases (
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    case_id    BLOB    NOT NULL UNIQUE,       -- 16 random octets
    ref_tag    BLOB,                      -- keyed tag of the own record's reference
    data_key   BLOB    NOT NULL,          -- wrapped data key
    sealed     BLOB    NOT NULL,
    due_ms     INTEGER NOT NULL,          -- when the child is looked for next by itself
    opened_ms  INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL
);
CREATE UNIQUE INDEX cases_by_ref ON cases (ref_tag) WHERE ref_tag IS NOT NULL;
CREATE INDEX cases_by_due ON cases (due_ms);
CREATE INDEX cases_by_change ON cases (updated_ms);

-- Searches, answers and notes of a case, sealed under its data key.
CREATE TABLE case_items (
    item_id BLOB    PRIMARY KEY,          -- 16 random octets
    case_id BLOB    NOT NULL,
    sealed  BLOB    NOT NULL,
    at_ms   INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX case_items_by_case ON case_items (case_id, at_ms);
