-- The borrower's consent to a change of a loan: what was previewed, and the signature over its hash.
CREATE TABLE loan_consents (
    loan_id TEXT NOT NULL REFERENCES loans (id),
    event_id TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    -- The exact JSON whose SHA-256 was signed.
    preview TEXT NOT NULL,
    signature BYTEA,
    borrower_key BYTEA,
    accepted_at BIGINT NOT NULL,
    PRIMARY KEY (loan_id, event_id)
);
