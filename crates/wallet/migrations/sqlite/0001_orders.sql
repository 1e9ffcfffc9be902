-- Orders with their sagas. Amounts are 16-byte blobs in atomic units: `requested` and `returned` of what is held (the
-- currency of a buy, the asset of a sell), `filled` of the asset, `value` and `fee` of the currency. Times are
-- microseconds since the epoch. AUTOINCREMENT: an id names transfers and commands in other services for good.
CREATE TABLE wallet_orders (
    order_id INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id INTEGER NOT NULL,
    client_reference TEXT,
    side TEXT NOT NULL CHECK (side IN ('buy', 'sell')),
    asset TEXT NOT NULL,
    currency TEXT NOT NULL,
    requested BLOB NOT NULL,
    definition INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('created', 'exchanging', 'withdrawing', 'reversing', 'releasing',
        'stuck_exchanging', 'stuck_withdrawing', 'stuck_reversing', 'stuck_releasing', 'completed', 'failed')),
    revision INTEGER NOT NULL,
    held INTEGER NOT NULL DEFAULT 0,
    filled BLOB,
    value BLOB,
    fee BLOB,
    returned BLOB,
    price TEXT,
    chain_transaction TEXT,
    refusals INTEGER NOT NULL DEFAULT 0,
    failure_code TEXT,
    idempotency_key TEXT,
    fingerprint BLOB,
    tries INTEGER NOT NULL DEFAULT 0,
    next_attempt_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
-- A user's list, newest first: the order id follows in every entry of the index.
CREATE INDEX wallet_orders_user ON wallet_orders (user_id);
CREATE INDEX wallet_orders_due ON wallet_orders (next_attempt_at) WHERE state NOT IN ('completed', 'failed');
CREATE UNIQUE INDEX wallet_orders_key ON wallet_orders (user_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX wallet_orders_key_age ON wallet_orders (created_at) WHERE idempotency_key IS NOT NULL;
CREATE UNIQUE INDEX wallet_orders_reference ON wallet_orders (user_id, client_reference)
    WHERE client_reference IS NOT NULL;

-- The log: `seq` is the order's revision after the entry.
CREATE TABLE wallet_order_events (
    order_id INTEGER NOT NULL REFERENCES wallet_orders (order_id),
    seq INTEGER NOT NULL,
    time INTEGER NOT NULL,
    from_state TEXT,
    to_state TEXT NOT NULL,
    event TEXT NOT NULL,
    cause TEXT NOT NULL,
    actor TEXT NOT NULL,
    PRIMARY KEY (order_id, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE wallet_deposits (
    deposit_id INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id INTEGER NOT NULL,
    currency TEXT NOT NULL,
    amount BLOB NOT NULL,
    reference TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('pending', 'booked')),
    idempotency_key TEXT,
    fingerprint BLOB,
    tries INTEGER NOT NULL DEFAULT 0,
    next_attempt_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    booked_at INTEGER
) STRICT;
CREATE INDEX wallet_deposits_due ON wallet_deposits (next_attempt_at) WHERE status = 'pending';
CREATE UNIQUE INDEX wallet_deposits_reference ON wallet_deposits (user_id, reference);
CREATE UNIQUE INDEX wallet_deposits_key ON wallet_deposits (user_id, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX wallet_deposits_key_age ON wallet_deposits (created_at) WHERE idempotency_key IS NOT NULL;
