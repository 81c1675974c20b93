-- A batch that changed many accounts would change a page for nearly each of them. It writes the new
-- totals of all as one row of ledger_tail instead, one after the other; ledger_balances follows later,
-- in the order of the accounts. An account is as the newer of the two says: the one with the greater
-- commit.
CREATE TABLE ledger_tail (
    commit_id BIGINT PRIMARY KEY REFERENCES ledger_commits (id),
    states BYTEA NOT NULL -- a byte 1, and by postcard a list of account, four totals, changed_at, last_seq, legs
);
-- To compress them would take longer than to write them.
ALTER TABLE ledger_tail ALTER COLUMN states SET STORAGE EXTERNAL;

-- The commit that the totals in the row are those after.
ALTER TABLE ledger_balances ADD COLUMN commit_id BIGINT NOT NULL DEFAULT 0;
UPDATE ledger_balances SET commit_id = coalesce((SELECT max(id) FROM ledger_commits), 0);

CREATE TABLE ledger_state (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    folded BIGINT NOT NULL -- ledger_balances has all that ledger_tail says up to this commit
);
INSERT INTO ledger_state (one, folded) VALUES (1, 0);

-- A row for each change of an account's flags or floor, for those who have the account in memory.
CREATE TABLE ledger_terms (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account BIGINT NOT NULL REFERENCES ledger_accounts (key)
);
