-- The audit log: an RFC 6962 Merkle log of records, its signed checkpoints and their anchors.
CREATE TABLE audit_logs (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    origin TEXT NOT NULL UNIQUE,
    -- The number of leaves that have their index.
    size BIGINT NOT NULL DEFAULT 0,
    -- The size at which the map of streams was last written as the last leaf.
    sealed_size BIGINT NOT NULL DEFAULT 0,
    map_root BYTEA NOT NULL
);

-- Whose personal data records hold. Without its key the data is gone, from backups too.
CREATE TABLE audit_subjects (
    id TEXT PRIMARY KEY,
    key BYTEA,
    legal_hold TEXT,
    erased_at BIGINT
);

-- A record is written in the transaction of the effect that it records, without an index; the
-- sequencer gives it one.
CREATE TABLE audit_records (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    log_id BIGINT NOT NULL REFERENCES audit_logs (id),
    tenant_id TEXT,
    external_id TEXT,
    kind TEXT NOT NULL,
    stream TEXT,
    subject_id TEXT REFERENCES audit_subjects (id),
    leaf BYTEA NOT NULL,
    open_fields BYTEA NOT NULL,
    personal_fields BYTEA,
    leaf_index BIGINT,
    created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX audit_records_index ON audit_records (log_id, leaf_index)
    WHERE leaf_index IS NOT NULL;
CREATE INDEX audit_records_queue ON audit_records (log_id, seq) WHERE leaf_index IS NULL;
CREATE UNIQUE INDEX audit_records_external ON audit_records (log_id, tenant_id, external_id)
    WHERE external_id IS NOT NULL;
CREATE INDEX audit_records_stream ON audit_records (log_id, stream, leaf_index)
    WHERE stream IS NOT NULL;
CREATE INDEX audit_records_subject ON audit_records (subject_id) WHERE subject_id IS NOT NULL;

-- C2SP tlog-tiles: up to 256 hashes in a row; the widest version of each tile is kept.
CREATE TABLE audit_tiles (
    log_id BIGINT NOT NULL REFERENCES audit_logs (id),
    level BIGINT NOT NULL,
    tile BIGINT NOT NULL,
    hashes BYTEA NOT NULL,
    PRIMARY KEY (log_id, level, tile)
);

CREATE TABLE audit_checkpoints (
    log_id BIGINT NOT NULL REFERENCES audit_logs (id),
    size BIGINT NOT NULL,
    root BYTEA NOT NULL,
    note TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (log_id, size)
);

-- The chain of events of each stream (a loan), and where the map holds its head.
CREATE TABLE audit_streams (
    log_id BIGINT NOT NULL REFERENCES audit_logs (id),
    stream TEXT NOT NULL,
    events BIGINT NOT NULL,
    head BYTEA NOT NULL,
    in_map BOOLEAN NOT NULL,
    PRIMARY KEY (log_id, stream)
);
CREATE INDEX audit_streams_changed ON audit_streams (log_id, stream) WHERE NOT in_map;

-- Nodes of every version of the map, by their hash: an inner node has two children, a leaf a key.
CREATE TABLE audit_map_nodes (
    hash BYTEA PRIMARY KEY,
    left_hash BYTEA,
    right_hash BYTEA,
    leaf_key BYTEA
);

-- One checkpoint on its way to one chain.
CREATE TABLE audit_anchors (
    log_id BIGINT NOT NULL,
    size BIGINT NOT NULL,
    chain TEXT NOT NULL,
    state TEXT NOT NULL,
    intent_id TEXT,
    tx TEXT,
    fee TEXT,
    evidence TEXT,
    problem TEXT,
    attempts BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (log_id, size, chain),
    FOREIGN KEY (log_id, size) REFERENCES audit_checkpoints (log_id, size)
);
CREATE INDEX audit_anchors_open ON audit_anchors (log_id, state);
