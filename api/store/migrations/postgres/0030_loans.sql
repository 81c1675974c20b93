-- Loans. A loan is the fold over its events; of what follows from them only the totals that are
-- posted to the ledger are stored, so that the next posting is the difference.
CREATE TABLE loan_products (
    id TEXT PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    name TEXT NOT NULL,
    terms TEXT NOT NULL,
    -- The ledger accounts of the loan books in the currency of the terms.
    accounts TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (tenant_id, name)
);

CREATE TABLE loans (
    id TEXT PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    product_id TEXT NOT NULL REFERENCES loan_products (id),
    borrower TEXT NOT NULL,
    -- The borrower's Ed25519 key, for the acceptance of changes.
    borrower_key BYTEA,
    contract TEXT NOT NULL,
    accounts TEXT NOT NULL,
    -- The number of the last event.
    head BIGINT NOT NULL,
    -- The totals of the flows that are posted, and the day up to which they are.
    posted TEXT NOT NULL,
    posted_on BIGINT NOT NULL,
    -- False once nothing accrues or falls due any more.
    running BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE INDEX loans_by_borrower ON loans (tenant_id, borrower);
CREATE INDEX loans_to_run ON loans (id) WHERE running;

CREATE TABLE loan_events (
    loan_id TEXT NOT NULL REFERENCES loans (id),
    seq BIGINT NOT NULL,
    tenant_id TEXT NOT NULL,
    id TEXT NOT NULL,
    effective_on BIGINT NOT NULL,
    body TEXT NOT NULL,
    -- The ledger account that paid or was paid.
    cash_account BIGINT,
    -- The ledger transfer of the event, and what it moved between the accounts of the books.
    transfer_id TEXT,
    moved TEXT NOT NULL,
    recorded_at BIGINT NOT NULL,
    PRIMARY KEY (loan_id, seq),
    UNIQUE (tenant_id, id)
);

CREATE FUNCTION loan_events_are_final () RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'loan events are never changed';
END;
$$;

CREATE TRIGGER loan_events_are_final BEFORE UPDATE OR DELETE ON loan_events
FOR EACH ROW EXECUTE FUNCTION loan_events_are_final ();

-- One row for each batch of an end of day and each set of books in it.
CREATE TABLE loan_days (
    transfer_id TEXT PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    day BIGINT NOT NULL,
    first_loan TEXT NOT NULL,
    last_loan TEXT NOT NULL,
    loans BIGINT NOT NULL,
    recorded_at BIGINT NOT NULL
);

-- The last day whose books are closed: later corrections of it count for the next day.
CREATE TABLE loan_closings (
    tenant_id TEXT PRIMARY KEY,
    closed_through BIGINT NOT NULL
);

-- What is known of a borrower, and by which profile reminders are decided.
CREATE TABLE loan_contacts (
    tenant_id TEXT NOT NULL,
    borrower TEXT NOT NULL,
    contact TEXT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, borrower)
);

-- Every decision to remind or not to, with its reason.
CREATE TABLE loan_reminders (
    id TEXT PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    loan_id TEXT NOT NULL REFERENCES loans (id),
    borrower TEXT NOT NULL,
    decided_at BIGINT NOT NULL,
    -- The last event of the loan that the decision knew of.
    head BIGINT NOT NULL,
    sends BOOLEAN NOT NULL,
    decision TEXT NOT NULL,
    rung_days BIGINT,
    due_on BIGINT,
    amount TEXT,
    send_before BIGINT,
    -- When to decide again.
    wait_until BIGINT NOT NULL,
    delivery TEXT
);

CREATE INDEX loan_reminders_by_loan ON loan_reminders (loan_id, decided_at);
CREATE INDEX loan_reminders_by_borrower ON loan_reminders (tenant_id, borrower, decided_at);
