-- What a lender is ready to lend to a customer in all, by currency: for the utilisation that the early
-- warning looks at.
CREATE TABLE care_credit_limits (
    tenant_id TEXT NOT NULL,
    customer_id TEXT NOT NULL,
    currency TEXT NOT NULL,
    amount TEXT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, customer_id, currency)
);
