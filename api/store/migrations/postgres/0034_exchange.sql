-- Prices that the operator has set: units of `quote` for one unit of `base`. The newest counts.
CREATE TABLE exchange_rates (
    id TEXT PRIMARY KEY,
    base TEXT NOT NULL,
    quote TEXT NOT NULL,
    price TEXT NOT NULL,
    source TEXT NOT NULL,
    set_at BIGINT NOT NULL,
    valid_until BIGINT NOT NULL
);

CREATE INDEX exchange_rates_by_pair ON exchange_rates (base, quote, set_at);

-- Promises to take an amount of a chain asset for an amount of a loan's currency.
CREATE TABLE asset_quotes (
    id TEXT PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    loan_id TEXT NOT NULL,
    rate_id TEXT NOT NULL REFERENCES exchange_rates (id),
    asset TEXT NOT NULL,
    sold TEXT NOT NULL,
    currency TEXT NOT NULL,
    bought TEXT NOT NULL,
    -- Minor units bought for each minor unit sold, as a fraction.
    numerator TEXT NOT NULL,
    denominator TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    used BOOLEAN NOT NULL
);

-- Which loan a bank's line has repaid.
CREATE TABLE loan_bank_lines (
    line_id TEXT PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    loan_id TEXT NOT NULL,
    repayment_id TEXT NOT NULL
);
