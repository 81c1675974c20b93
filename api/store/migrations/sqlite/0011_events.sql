-- What happened, for those who listen. A row is written in the transaction of what it tells; its
-- place in the tenant's public sequence is given after the commit, so the sequence has no gaps and
-- a reader cannot pass by an event that was committed late.
CREATE TABLE events_outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant TEXT NOT NULL,
    kind TEXT NOT NULL, -- `ledger`: the transfers of a commit, as they are in ledger_transfers
    subject TEXT NOT NULL,
    body TEXT NOT NULL,
    commit_id BIGINT,
    count BIGINT NOT NULL CHECK (count > 0), -- how many events the row stands for
    created_at BIGINT NOT NULL,
    position BIGINT -- of the first of them; NULL: not yet given
);
CREATE UNIQUE INDEX events_outbox_position ON events_outbox (tenant, position)
WHERE position IS NOT NULL;
CREATE INDEX events_outbox_unplaced ON events_outbox (id) WHERE position IS NULL;

-- The next position of each tenant. The row of the tenant '' is the lock of those who give them.
CREATE TABLE events_heads (
    tenant TEXT PRIMARY KEY,
    next BIGINT NOT NULL
);
INSERT INTO events_heads (tenant, next) VALUES ('', 0);
