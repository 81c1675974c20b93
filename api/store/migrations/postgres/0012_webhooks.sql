-- Who is told about events over HTTP.
CREATE TABLE webhook_endpoints (
    id TEXT PRIMARY KEY,
    tenant TEXT NOT NULL,
    url TEXT NOT NULL,
    secret BYTEA NOT NULL,
    old_secret BYTEA, -- also signs until it is dropped
    enabled BOOLEAN NOT NULL,
    last_sequence BIGINT NOT NULL, -- delivered or given up
    attempts BIGINT NOT NULL, -- of the event after it
    next_at BIGINT NOT NULL,
    last_error TEXT,
    created_at BIGINT NOT NULL
);
CREATE INDEX webhook_endpoints_due ON webhook_endpoints (next_at) WHERE enabled;

-- Events that are sent again on request, beside the stream.
CREATE TABLE webhook_replays (
    endpoint TEXT NOT NULL REFERENCES webhook_endpoints (id),
    sequence BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    PRIMARY KEY (endpoint, sequence)
);

-- Events that were given up after the last attempt.
CREATE TABLE webhook_dead_letters (
    endpoint TEXT NOT NULL REFERENCES webhook_endpoints (id),
    sequence BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    last_error TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (endpoint, sequence)
);
