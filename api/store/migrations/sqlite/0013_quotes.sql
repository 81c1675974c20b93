-- Prices that tenants promised for conversions. Prices are decimal texts of 128-bit integers; times
-- are milliseconds since 1970.
CREATE TABLE ledger_quotes (
    tenant_id TEXT NOT NULL REFERENCES tenants (id),
    id TEXT NOT NULL,
    sell TEXT NOT NULL,
    buy TEXT NOT NULL,
    numerator TEXT NOT NULL,
    denominator TEXT NOT NULL,
    valid_ms BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
