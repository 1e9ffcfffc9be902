-- The age of idempotency keys is counted in the time that programs have run on this database, because the clock can be
-- set: `ran` is that time when it was counted, in microseconds, the others are the last order and deposit by then.
CREATE TABLE wallet_key_marks (
    ran INTEGER PRIMARY KEY,
    last_order INTEGER NOT NULL,
    last_deposit INTEGER NOT NULL
) STRICT;

-- So keys are found by the number of what they made, and no longer by its time.
DROP INDEX wallet_orders_key_age;
DROP INDEX wallet_deposits_key_age;
CREATE INDEX wallet_orders_keyed ON wallet_orders (order_id) WHERE idempotency_key IS NOT NULL;
CREATE INDEX wallet_deposits_keyed ON wallet_deposits (deposit_id) WHERE idempotency_key IS NOT NULL;
