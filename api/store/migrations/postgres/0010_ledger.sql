-- The ledger. Amounts and totals are unsigned big-endian bytes without leading zeros (nothing is
-- zero, at most 16 bytes); times are microseconds since 1970 UTC; days are days since 1970-01-01.

-- A small number for each tenant, because it is repeated in every transfer.
CREATE TABLE ledger_books (
    key INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant TEXT NOT NULL UNIQUE
);

-- What never changes about an account.
CREATE TABLE ledger_accounts (
    key BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    book INTEGER NOT NULL REFERENCES ledger_books (key),
    code TEXT COLLATE "C" NOT NULL,
    asset TEXT NOT NULL,
    side SMALLINT NOT NULL CHECK (side IN (0, 1)), -- 0: debit-normal, 1: credit-normal
    external_id TEXT,
    created_at BIGINT NOT NULL,
    UNIQUE (book, code, asset)
);
CREATE INDEX ledger_accounts_external ON ledger_accounts (book, external_id)
WHERE external_id IS NOT NULL;

-- What postings change, and what they decide upon: locked together.
CREATE TABLE ledger_balances (
    account BIGINT PRIMARY KEY REFERENCES ledger_accounts (key),
    debits_posted BYTEA NOT NULL DEFAULT '',
    credits_posted BYTEA NOT NULL DEFAULT '',
    debits_pending BYTEA NOT NULL DEFAULT '',
    credits_pending BYTEA NOT NULL DEFAULT '',
    changed_at BIGINT NOT NULL DEFAULT 0,
    flags INTEGER NOT NULL DEFAULT 0, -- 1: history, 2: frozen, 4: closed, 8: velocity limits
    floor BYTEA -- two's complement, 16 bytes; NULL: may go negative without limit
) WITH (fillfactor = 50); -- so that updates stay on their page

-- How much may leave an account within a window of time.
CREATE TABLE ledger_limits (
    account BIGINT NOT NULL REFERENCES ledger_accounts (key),
    window_secs BIGINT NOT NULL,
    count_max BIGINT,
    sum_max BYTEA,
    PRIMARY KEY (account, window_secs)
);

-- One row for each database transaction that posted something.
CREATE TABLE ledger_commits (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    recorded_at BIGINT NOT NULL
);
CREATE INDEX ledger_commits_recorded ON ledger_commits (recorded_at);

-- One row for each leg: it moves the amount from the account that it credits to the one that it
-- debits, so the sum over all accounts of an asset is zero by construction.
CREATE TABLE ledger_transfers (
    seq BIGINT PRIMARY KEY, -- commit * 2^20 + position in the commit
    book INTEGER NOT NULL,
    id BYTEA NOT NULL CHECK (length(id) = 16),
    leg SMALLINT NOT NULL,
    -- 1: transfer, 2: pending, 3: post pending, 4: void pending, 5: expire pending, 6: reversal
    kind SMALLINT NOT NULL CHECK (kind BETWEEN 1 AND 6),
    debit BIGINT NOT NULL,
    credit BIGINT NOT NULL,
    amount BYTEA NOT NULL,
    effective_on INTEGER, -- NULL: the day of recording
    expires_at BIGINT,
    target BYTEA, -- the pending transfer that this one ends, or the transfer that it reverses
    code TEXT NOT NULL,
    reference TEXT NOT NULL,
    -- Posted totals of the two accounts after this leg, for accounts that keep history.
    debit_debits BYTEA,
    debit_credits BYTEA,
    credit_debits BYTEA,
    credit_credits BYTEA,
    CHECK (debit <> credit),
    CHECK (length(amount) BETWEEN 1 AND 16 OR (kind = 3 AND length(amount) = 0)),
    CHECK ((target IS NOT NULL) = (kind >= 3))
);
CREATE UNIQUE INDEX ledger_transfers_id ON ledger_transfers (book, id, leg);
-- Each pending transfer ends once, and each transfer is reversed once, under any race.
CREATE UNIQUE INDEX ledger_transfers_target ON ledger_transfers (book, target, leg)
WHERE target IS NOT NULL;
CREATE INDEX ledger_transfers_debit ON ledger_transfers (debit, seq)
WHERE debit_debits IS NOT NULL;
CREATE INDEX ledger_transfers_credit ON ledger_transfers (credit, seq)
WHERE credit_debits IS NOT NULL;
-- The few legs that take effect on another day than they were recorded.
CREATE INDEX ledger_transfers_dated_debit ON ledger_transfers (debit, seq)
WHERE effective_on IS NOT NULL AND debit_debits IS NOT NULL;
CREATE INDEX ledger_transfers_dated_credit ON ledger_transfers (credit, seq)
WHERE effective_on IS NOT NULL AND credit_debits IS NOT NULL;

-- The pending transfers that are open.
CREATE TABLE ledger_holds (
    book INTEGER NOT NULL,
    id BYTEA NOT NULL,
    expires_at BIGINT,
    PRIMARY KEY (book, id)
);
CREATE INDEX ledger_holds_expiry ON ledger_holds (expires_at) WHERE expires_at IS NOT NULL;

CREATE FUNCTION ledger_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is immutable', TG_TABLE_NAME;
END $$;
CREATE TRIGGER ledger_transfers_no_change BEFORE UPDATE OR DELETE ON ledger_transfers
FOR EACH ROW EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER ledger_transfers_no_truncate BEFORE TRUNCATE ON ledger_transfers
FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER ledger_commits_no_change BEFORE UPDATE OR DELETE ON ledger_commits
FOR EACH ROW EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER ledger_commits_no_truncate BEFORE TRUNCATE ON ledger_commits
FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER ledger_accounts_no_change BEFORE UPDATE OR DELETE ON ledger_accounts
FOR EACH ROW EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER ledger_accounts_no_truncate BEFORE TRUNCATE ON ledger_accounts
FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
