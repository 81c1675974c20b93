-- Care for borrowers: who may be reached how, what was sent, what was offered.

-- A reminder that did not leave after all, and why.
ALTER TABLE loan_reminders ADD COLUMN withdrawn TEXT;

CREATE INDEX loans_to_run_of_tenant ON loans (tenant_id, id) WHERE running;

-- A tenant's own reminder profiles: hours, caps and the ladder.
CREATE TABLE loan_profiles (
    tenant_id TEXT NOT NULL,
    name TEXT NOT NULL,
    profile TEXT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, name)
);

-- What a tenant has decided about its days and its early warning.
CREATE TABLE care_tenants (
    tenant_id TEXT PRIMARY KEY REFERENCES tenants (id),
    -- The last day that was closed, in days since 1970-01-01.
    last_day BIGINT,
    -- The rules of the early warning and of offers, as JSON; the built-in ones when absent.
    rules TEXT
);

-- The key under which a customer's addresses are kept. Overwritten with zeros at an erasure.
CREATE TABLE care_keys (
    tenant_id TEXT NOT NULL,
    customer_id TEXT NOT NULL,
    key BYTEA NOT NULL,
    erased_at BIGINT,
    PRIMARY KEY (tenant_id, customer_id)
);

-- Where a customer is reached, encrypted under the customer's key.
CREATE TABLE care_addresses (
    tenant_id TEXT NOT NULL,
    customer_id TEXT NOT NULL,
    channel TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    -- False once a message came back from there.
    usable BOOLEAN NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, customer_id, channel)
);

-- Every consent and every withdrawal of it. The last of a channel counts.
CREATE TABLE care_consents (
    id TEXT PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    customer_id TEXT NOT NULL,
    -- A channel, or "all" for an opt-out and what takes it back.
    channel TEXT NOT NULL,
    granted BOOLEAN NOT NULL,
    -- How it is shown that the customer said so, encrypted under the customer's key.
    proof BYTEA,
    given_at BIGINT NOT NULL
);

CREATE INDEX care_consents_of_customer ON care_consents (tenant_id, customer_id, given_at);

-- Gateways for push and text messages; the secret signs both ways.
CREATE TABLE care_gateways (
    id TEXT PRIMARY KEY,
    tenant_id TEXT NOT NULL REFERENCES tenants (id),
    channel TEXT NOT NULL,
    -- No URL: receipts alone.
    url TEXT,
    secret BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (tenant_id, channel)
);

-- One row for each decision to send, written in its transaction.
CREATE TABLE care_outbox (
    -- The reminder's id, and so the stable id of the message.
    id TEXT PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    customer_id TEXT NOT NULL,
    loan_id TEXT NOT NULL,
    channel TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'sending', 'sent', 'delivered', 'undelivered',
        'withdrawn', 'unknown', 'dead')),
    attempts BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    decided_at BIGINT NOT NULL,
    sent_at BIGINT,
    last_error TEXT
);

CREATE INDEX care_outbox_due ON care_outbox (next_at) WHERE state IN ('queued', 'sending');
CREATE INDEX care_outbox_by_state ON care_outbox (tenant_id, state, id);

-- Receipts of gateways, each counted once.
CREATE TABLE care_receipts (
    gateway_id TEXT NOT NULL REFERENCES care_gateways (id),
    receipt_id TEXT NOT NULL,
    message_id TEXT NOT NULL,
    status TEXT NOT NULL,
    received_at BIGINT NOT NULL,
    PRIMARY KEY (gateway_id, receipt_id)
);

-- What a customer finds in the wallet.
CREATE TABLE care_inbox (
    id TEXT PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    customer_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    loan_id TEXT,
    subject TEXT NOT NULL,
    body TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    read_at BIGINT
);

CREATE INDEX care_inbox_of_customer ON care_inbox (tenant_id, customer_id, id);

-- Plans that were offered before anybody was chased.
CREATE TABLE care_offers (
    id TEXT PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    customer_id TEXT NOT NULL,
    loan_id TEXT NOT NULL,
    -- The last event of the loan that the offer knows of: a later one ends it.
    head BIGINT NOT NULL,
    warnings TEXT NOT NULL,
    affordable TEXT NOT NULL,
    -- The change that is offered, absent when none within the limits is affordable.
    change TEXT,
    preview_hash TEXT,
    effective_on BIGINT NOT NULL,
    expires_on BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (loan_id, effective_on)
);

CREATE INDEX care_offers_of_customer ON care_offers (tenant_id, customer_id, id);

-- Secrets of the server itself, such as the key that signs opt-out links.
CREATE TABLE care_secrets (
    name TEXT PRIMARY KEY,
    secret BYTEA NOT NULL
);
