-- What a borrower says is wrong about a loan, and what became of it.
CREATE TABLE loan_disputes (
    id TEXT PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    loan_id TEXT NOT NULL REFERENCES loans (id),
    -- The event in question, when there is one.
    event_id TEXT,
    statement TEXT NOT NULL,
    opened_on BIGINT NOT NULL,
    -- open, answered or resolved.
    state TEXT NOT NULL,
    answer TEXT,
    answered_on BIGINT,
    -- corrected, upheld or withdrawn.
    outcome TEXT,
    note TEXT,
    -- The event that put it right.
    correction_id TEXT,
    resolved_on BIGINT
);

CREATE INDEX loan_disputes_by_loan ON loan_disputes (tenant_id, loan_id, id);
