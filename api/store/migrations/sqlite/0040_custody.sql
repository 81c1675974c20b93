-- Coins and tokens: addresses, what arrived, and every transaction that is made.

-- Every address that was ever issued. This table, not a gap limit, says what is ours.
-- No tenant: the operator's own (treasury, anchors, change).
CREATE TABLE addresses (
    id TEXT PRIMARY KEY,
    tenant_id TEXT REFERENCES tenants (id),
    customer_id TEXT REFERENCES customers (id),
    chain TEXT NOT NULL,
    address TEXT NOT NULL,
    key_path TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (chain, address),
    UNIQUE (chain, key_path)
);

CREATE INDEX addresses_of_customer ON addresses (customer_id);

-- The blocks that were scanned, newest kept, to notice a reorganisation by its parent hash.
CREATE TABLE scanned_blocks (
    chain TEXT NOT NULL,
    height BIGINT NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (chain, height)
);

-- seen -> final (credited) | suspense; seen -> orphaned by a reorganisation -> seen again.
CREATE TABLE deposits (
    id TEXT PRIMARY KEY,
    tenant_id TEXT NOT NULL REFERENCES tenants (id),
    customer_id TEXT REFERENCES customers (id),
    chain TEXT NOT NULL,
    asset TEXT NOT NULL,
    address TEXT NOT NULL,
    tx TEXT NOT NULL,
    position TEXT NOT NULL,
    amount TEXT NOT NULL,
    coinbase BOOLEAN NOT NULL,
    height BIGINT NOT NULL,
    block_hash TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('seen', 'final', 'suspense', 'orphaned')),
    created_at BIGINT NOT NULL,
    credited_at BIGINT,
    UNIQUE (chain, tx, position)
);

CREATE INDEX deposits_by_state ON deposits (chain, state, height);
CREATE INDEX deposits_of_tenant ON deposits (tenant_id, created_at);

-- Outputs of ours on Bitcoin.
CREATE TABLE coins (
    chain TEXT NOT NULL,
    txid TEXT NOT NULL,
    vout BIGINT NOT NULL,
    amount TEXT NOT NULL,
    address TEXT NOT NULL,
    height BIGINT NOT NULL,
    coinbase BOOLEAN NOT NULL,
    spent_by TEXT,
    spent_height BIGINT,
    reserved_by TEXT,
    PRIMARY KEY (chain, txid, vout)
);

-- What is to happen on a chain, of whatever purpose. Its state only moves by compare-and-set.
CREATE TABLE intents (
    id TEXT PRIMARY KEY,
    chain TEXT NOT NULL,
    purpose TEXT NOT NULL,
    intent TEXT NOT NULL,
    signers TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN
        ('reserved', 'built', 'signed', 'sent', 'unknown', 'settled', 'failed')),
    unsigned TEXT,
    signed TEXT,
    tx TEXT,
    nonce_account TEXT,
    evm_sender TEXT,
    evm_nonce BIGINT,
    problem TEXT,
    fee TEXT,
    height BIGINT,
    block_hash TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE INDEX intents_by_state ON intents (chain, state, created_at);
-- A place on a chain has one intent. (One that failed before it was signed leaves its place free.)
CREATE UNIQUE INDEX intents_by_evm_nonce ON intents (chain, evm_sender, evm_nonce)
    WHERE state <> 'failed';
CREATE UNIQUE INDEX intents_by_nonce_account ON intents (chain, nonce_account)
    WHERE state IN ('built', 'signed', 'sent', 'unknown');
-- An account takes its next nonce once the one before is signed: what is given up before leaves no gap.
CREATE UNIQUE INDEX intents_unsigned ON intents (chain, evm_sender) WHERE state = 'built';

-- Every transaction that was ever signed for an intent; any of them may be mined.
CREATE TABLE attempts (
    intent_id TEXT NOT NULL REFERENCES intents (id),
    number BIGINT NOT NULL,
    tx TEXT NOT NULL,
    unsigned TEXT NOT NULL,
    signed TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (intent_id, number)
);

CREATE UNIQUE INDEX attempts_by_tx ON attempts (tx);

CREATE TABLE withdrawals (
    id TEXT PRIMARY KEY,
    tenant_id TEXT NOT NULL REFERENCES tenants (id),
    customer_id TEXT NOT NULL REFERENCES customers (id),
    client_id TEXT,
    intent_id TEXT NOT NULL UNIQUE REFERENCES intents (id),
    chain TEXT NOT NULL,
    asset TEXT NOT NULL,
    amount TEXT NOT NULL,
    destination TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (tenant_id, client_id)
);

CREATE TABLE internal_transfers (
    id TEXT PRIMARY KEY,
    tenant_id TEXT NOT NULL REFERENCES tenants (id),
    from_customer TEXT NOT NULL REFERENCES customers (id),
    to_customer TEXT NOT NULL REFERENCES customers (id),
    asset TEXT NOT NULL,
    amount TEXT NOT NULL,
    record_id TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

-- Sweeps of deposit addresses, one row for each intent and address that it empties.
CREATE TABLE sweeps (
    intent_id TEXT NOT NULL REFERENCES intents (id),
    chain TEXT NOT NULL,
    asset TEXT NOT NULL,
    address TEXT NOT NULL,
    PRIMARY KEY (intent_id, address)
);

-- Durable nonce accounts on Solana: each carries one live transaction at a time.
CREATE TABLE nonce_accounts (
    chain TEXT NOT NULL,
    address TEXT NOT NULL,
    number BIGINT NOT NULL,
    payer TEXT NOT NULL,
    intent_id TEXT NOT NULL REFERENCES intents (id),
    ready BOOLEAN NOT NULL,
    PRIMARY KEY (chain, address)
);

-- A chain that was halted: nothing is sent until an operator looks.
CREATE TABLE halts (
    chain TEXT PRIMARY KEY,
    reason TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

-- Who may run a job now; a holder that dies is replaced when its time is over.
CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    until BIGINT NOT NULL
);

-- Small facts that must survive a restart, for example the newest journal head of the signer.
CREATE TABLE facts (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

-- Bank statements that were read; a line is credited once.
CREATE TABLE bank_lines (
    id TEXT PRIMARY KEY,
    currency TEXT NOT NULL,
    amount TEXT NOT NULL,
    reference TEXT NOT NULL,
    booked_on TEXT NOT NULL,
    tenant_id TEXT,
    customer_id TEXT,
    state TEXT NOT NULL CHECK (state IN ('credited', 'suspense')),
    created_at BIGINT NOT NULL
);
