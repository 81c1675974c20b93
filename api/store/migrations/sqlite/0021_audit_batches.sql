-- A record is written once and never again: its index is that of its batch (the records of one call)
-- plus its place in it, and the sequencer writes one number for each batch.
CREATE TABLE audit_batches (
    -- 16384 numbers are a batch's own: those of its records are first_seq, first_seq + 1, ….
    first_seq INTEGER PRIMARY KEY CHECK (first_seq % 16384 = 0),
    log_id BIGINT NOT NULL REFERENCES audit_logs (id),
    records BIGINT NOT NULL CHECK (records BETWEEN 1 AND 16384),
    -- The index of the first record; NULL: not yet given.
    first_index BIGINT
);

CREATE TABLE audit_records_once (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    log_id BIGINT NOT NULL,
    tenant_id TEXT,
    external_id TEXT,
    kind TEXT NOT NULL,
    stream TEXT,
    subject_id TEXT REFERENCES audit_subjects (id),
    leaf BLOB NOT NULL,
    open_fields BLOB NOT NULL,
    personal_fields BLOB,
    created_at BIGINT NOT NULL
);

INSERT INTO audit_batches (first_seq, log_id, records, first_index)
SELECT seq * 16384, log_id, 1, leaf_index FROM audit_records;
INSERT INTO audit_records_once (seq, id, log_id, tenant_id, external_id, kind, stream, subject_id,
    leaf, open_fields, personal_fields, created_at)
SELECT seq * 16384, id, log_id, tenant_id, external_id, kind, stream, subject_id, leaf, open_fields,
    personal_fields, created_at FROM audit_records;

DROP TABLE audit_records;
ALTER TABLE audit_records_once RENAME TO audit_records;

CREATE UNIQUE INDEX audit_records_id ON audit_records (id);
CREATE UNIQUE INDEX audit_records_external ON audit_records (log_id, tenant_id, external_id)
    WHERE external_id IS NOT NULL;
CREATE INDEX audit_records_stream ON audit_records (log_id, stream, seq) WHERE stream IS NOT NULL;
CREATE INDEX audit_records_subject ON audit_records (subject_id) WHERE subject_id IS NOT NULL;
CREATE UNIQUE INDEX audit_batches_index ON audit_batches (log_id, first_index)
    WHERE first_index IS NOT NULL;
CREATE INDEX audit_batches_queue ON audit_batches (log_id, first_seq) WHERE first_index IS NULL;

-- For people: where each record is in its log.
CREATE VIEW audit_leaves AS
SELECT b.log_id, b.first_index + r.seq - b.first_seq AS leaf_index, r.seq, r.id
FROM audit_batches AS b
JOIN audit_records AS r ON r.seq >= b.first_seq AND r.seq < b.first_seq + b.records
WHERE b.first_index IS NOT NULL;
