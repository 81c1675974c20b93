-- An account's history is a chain: each leg names the one before it of the same account, the balance
-- names the last, and every 32nd is marked. Two indexes over all legs, in which every transfer changed
-- a page anywhere, are no longer needed.
DROP TRIGGER ledger_transfers_no_change ON ledger_transfers;

-- The seq of the leg before, of accounts that keep history; 0: there is none.
ALTER TABLE ledger_transfers ADD COLUMN debit_prev BIGINT;
ALTER TABLE ledger_transfers ADD COLUMN credit_prev BIGINT;
ALTER TABLE ledger_balances ADD COLUMN last_seq BIGINT NOT NULL DEFAULT 0;
ALTER TABLE ledger_balances ADD COLUMN legs BIGINT NOT NULL DEFAULT 0;

-- Every 32nd leg of an account: from here its history is read backwards.
CREATE TABLE ledger_marks (
    account BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    PRIMARY KEY (account, seq)
);

CREATE TABLE ledger_chain AS
SELECT account, seq, debited, row_number() OVER history AS number,
    coalesce(lag(seq) OVER history, 0) AS prev
FROM (
    SELECT debit AS account, seq, 1 AS debited FROM ledger_transfers WHERE debit_debits IS NOT NULL
    UNION ALL
    SELECT credit, seq, 0 FROM ledger_transfers WHERE credit_debits IS NOT NULL
) AS legs
WINDOW history AS (PARTITION BY account ORDER BY seq);
CREATE INDEX ledger_chain_seq ON ledger_chain (seq, debited);
UPDATE ledger_transfers SET debit_prev = c.prev FROM ledger_chain AS c
WHERE c.seq = ledger_transfers.seq AND c.debited = 1;
UPDATE ledger_transfers SET credit_prev = c.prev FROM ledger_chain AS c
WHERE c.seq = ledger_transfers.seq AND c.debited = 0;
UPDATE ledger_balances SET last_seq = c.seq, legs = c.number FROM (
    SELECT account, max(seq) AS seq, max(number) AS number FROM ledger_chain GROUP BY account
) AS c WHERE c.account = ledger_balances.account;
INSERT INTO ledger_marks (account, seq) SELECT account, seq FROM ledger_chain WHERE number % 32 = 0;
DROP TABLE ledger_chain;

DROP INDEX ledger_transfers_debit;
DROP INDEX ledger_transfers_credit;

CREATE TRIGGER ledger_transfers_no_change BEFORE UPDATE OR DELETE ON ledger_transfers
FOR EACH ROW EXECUTE FUNCTION ledger_refuse_change();
