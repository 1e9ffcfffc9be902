-- Orders with their sagas, deposits, freezes. Amounts are in atomic units: `requested` and `returned` of what is held (the
-- currency of a buy, the asset of a sell), `filled` of the asset, `value` and `fee` of the currency. Times are microseconds
-- since the epoch. Names are compared byte by byte, so that every server sorts them alike.

-- Never given twice: a number names transfers and commands in other services for good. It may be drawn in vain.
CREATE SEQUENCE {service}.order_ids;
CREATE TABLE {service}.orders (
    order_id bigint PRIMARY KEY,
    user_id bigint NOT NULL,
    client_reference text COLLATE "C",
    side text COLLATE "C" NOT NULL CHECK (side IN ('buy', 'sell')),
    asset text COLLATE "C" NOT NULL,
    currency text COLLATE "C" NOT NULL,
    requested numeric(39,0) NOT NULL CHECK (requested > 0),
    definition integer NOT NULL,
    state text COLLATE "C" NOT NULL CHECK (state IN ('created', 'exchanging', 'withdrawing', 'reversing', 'releasing',
        'stuck_exchanging', 'stuck_withdrawing', 'stuck_reversing', 'stuck_releasing', 'completed', 'failed')),
    revision bigint NOT NULL CHECK (revision > 0),
    held boolean NOT NULL DEFAULT false,
    promised boolean NOT NULL DEFAULT false,
    filled numeric(39,0),
    value numeric(39,0),
    fee numeric(39,0),
    returned numeric(39,0),
    price text,
    chain_transaction text,
    refusals bigint NOT NULL DEFAULT 0,
    failure_code text,
    idempotency_key text COLLATE "C",
    fingerprint bytea,
    tries bigint NOT NULL DEFAULT 0,
    next_attempt_at bigint NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    CHECK (num_nulls(filled, value, fee, returned, price) IN (0, 5)),
    CHECK ((idempotency_key IS NULL) = (fingerprint IS NULL))
);
CREATE INDEX orders_user ON {service}.orders (user_id, order_id);
CREATE INDEX orders_due ON {service}.orders (next_attempt_at) WHERE state NOT IN ('completed', 'failed');
CREATE UNIQUE INDEX orders_key ON {service}.orders (user_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE UNIQUE INDEX orders_reference ON {service}.orders (user_id, client_reference) WHERE client_reference IS NOT NULL;
-- Keys that may be forgotten. By the state, nobody looks for a single key along all of them.
CREATE INDEX orders_keyed ON {service}.orders (order_id)
    WHERE idempotency_key IS NOT NULL AND state IN ('completed', 'failed');

-- The log: `seq` is the order's revision after the entry. The order is no foreign key: that would lock its row once more
-- for every entry, though both are written together and none is ever deleted.
CREATE TABLE {service}.order_events (
    order_id bigint NOT NULL,
    seq bigint NOT NULL CHECK (seq > 0),
    time bigint NOT NULL,
    from_state text COLLATE "C",
    to_state text COLLATE "C" NOT NULL,
    event text NOT NULL,
    cause text NOT NULL,
    actor text NOT NULL,
    PRIMARY KEY (order_id, seq),
    CHECK ((seq = 1) = (from_state IS NULL))
);

CREATE SEQUENCE {service}.deposit_ids;
CREATE TABLE {service}.deposits (
    deposit_id bigint PRIMARY KEY,
    user_id bigint NOT NULL,
    currency text COLLATE "C" NOT NULL,
    amount numeric(39,0) NOT NULL CHECK (amount > 0),
    reference text COLLATE "C" NOT NULL,
    status text COLLATE "C" NOT NULL CHECK (status IN ('pending', 'booked')),
    idempotency_key text COLLATE "C",
    fingerprint bytea,
    tries bigint NOT NULL DEFAULT 0,
    next_attempt_at bigint NOT NULL,
    created_at bigint NOT NULL,
    booked_at bigint,
    CHECK ((status = 'booked') = (booked_at IS NOT NULL)),
    CHECK ((idempotency_key IS NULL) = (fingerprint IS NULL))
);
CREATE INDEX deposits_due ON {service}.deposits (next_attempt_at) WHERE status = 'pending';
CREATE UNIQUE INDEX deposits_reference ON {service}.deposits (user_id, reference);
CREATE UNIQUE INDEX deposits_key ON {service}.deposits (user_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX deposits_keyed ON {service}.deposits (deposit_id)
    WHERE idempotency_key IS NOT NULL AND status = 'booked';

-- Who may do nothing at present. What was done to whom, and by whom, is in the acts of operators.
CREATE TABLE {service}.freezes (
    user_id bigint PRIMARY KEY,
    operator text NOT NULL,
    reason text NOT NULL,
    since bigint NOT NULL
);

-- The age of idempotency keys is counted in the time for which programs have run on this database, because clocks can be
-- set: `ran` is that time when it was counted, in microseconds, the others are the last order and deposit by then.
CREATE TABLE {service}.key_marks (
    ran bigint PRIMARY KEY,
    last_order bigint NOT NULL,
    last_deposit bigint NOT NULL
);

-- Whoever stores something for users, or freezes one, has these locks until its end; all take them in one order. So of one
-- user's requests that come at once the second finds what the first has stored, none is stored behind a freeze, and numbers
-- that are drawn with the lock ascend as the user's orders do. Users who share a lock wait for each other, and no more comes
-- of it. The first lock is the gate's, which they share.
CREATE FUNCTION {service}.lock_users(users bigint[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    one integer;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(x'77616c01'::integer, 0);
    FOR one IN SELECT DISTINCT (id % 2147483647)::integer FROM unnest(users) AS id ORDER BY 1 LOOP
        PERFORM pg_advisory_xact_lock(x'77616c02'::integer, one);
    END LOOP;
END $$;

-- Whoever has the gate for itself knows that no number is drawn whose order or deposit is still to be committed. While it
-- waits nobody else gets in, so it does not wait for long.
CREATE FUNCTION {service}.lock_gate() RETURNS void LANGUAGE plpgsql SET lock_timeout = '200ms' AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(x'77616c01'::integer, 0);
END $$;

CREATE FUNCTION {service}.refuse() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION '% of %: it is there for good', TG_OP, TG_TABLE_NAME; END $$;
CREATE TRIGGER stays BEFORE UPDATE OR DELETE ON {service}.order_events
    FOR EACH ROW EXECUTE FUNCTION {service}.refuse();
CREATE TRIGGER stays BEFORE DELETE ON {service}.orders
    FOR EACH ROW EXECUTE FUNCTION {service}.refuse();
CREATE TRIGGER stays BEFORE DELETE ON {service}.deposits
    FOR EACH ROW EXECUTE FUNCTION {service}.refuse();
-- An end never changes.
CREATE TRIGGER ended BEFORE UPDATE OF state ON {service}.orders
    FOR EACH ROW WHEN (OLD.state IN ('completed', 'failed') AND NEW.state <> OLD.state)
    EXECUTE FUNCTION {service}.refuse();
CREATE TRIGGER ended BEFORE UPDATE OF status ON {service}.deposits
    FOR EACH ROW WHEN (OLD.status = 'booked' AND NEW.status <> OLD.status)
    EXECUTE FUNCTION {service}.refuse();
