-- The books. The last line of defence for solvency is here: customers and the hot wallet cannot be stored below zero. Names
-- are compared byte by byte, so that every server sorts, and locks, them alike.

CREATE TABLE {service}.wallets (
    user_id bigint PRIMARY KEY CHECK (user_id > 1),
    opened_at bigint NOT NULL
);

-- One row for each (owner, asset) that money ever touched. Balances are what 128 bits hold.
CREATE TABLE {service}.accounts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner text COLLATE "C" NOT NULL,
    asset text COLLATE "C" NOT NULL,
    balance numeric(39,0) NOT NULL,
    UNIQUE (owner, asset),
    CHECK (balance >= 0 OR NOT (owner = 'hot_wallet' OR owner LIKE 'user:%')),
    CHECK (balance BETWEEN -170141183460469231731687303715884105728 AND 170141183460469231731687303715884105727)
);

-- Append-only. The numbers are taken while both accounts are locked: along each account they ascend in the order of booking.
-- The accounts are no foreign keys: that would lock two rows again for every transfer, and `check_books` looks.
CREATE TABLE {service}.transfers (
    entry_id bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
    origin_kind text COLLATE "C" NOT NULL,
    origin_id bigint NOT NULL,
    leg smallint NOT NULL,
    debit_account bigint NOT NULL,
    credit_account bigint NOT NULL,
    amount numeric(39,0) NOT NULL CHECK (amount > 0),
    debit_balance_after numeric(39,0) NOT NULL,
    credit_balance_after numeric(39,0) NOT NULL,
    reason text NOT NULL,
    actor text NOT NULL,
    posted_at bigint NOT NULL,
    CHECK (debit_account <> credit_account),
    -- A transfer's name: whoever books it again, finds it.
    UNIQUE (origin_kind, origin_id, leg)
);
-- Statements.
CREATE INDEX transfers_by_debit ON {service}.transfers (debit_account, entry_id);
CREATE INDEX transfers_by_credit ON {service}.transfers (credit_account, entry_id);

-- Holds that were refused for lack of funds, with their content: a late duplicate must never succeed.
CREATE TABLE {service}.refusals (
    origin_kind text COLLATE "C" NOT NULL,
    origin_id bigint NOT NULL,
    leg smallint NOT NULL,
    debit text NOT NULL,
    credit text NOT NULL,
    asset text NOT NULL,
    amount numeric(39,0) NOT NULL CHECK (amount > 0),
    reason text NOT NULL,
    actor text NOT NULL,
    refused_at bigint NOT NULL,
    PRIMARY KEY (origin_kind, origin_id, leg)
);

-- Corrections by hand: their number, what makes a repeated request recognisable, and how it was answered.
CREATE TABLE {service}.adjustments (
    id bigint PRIMARY KEY,
    user_id bigint NOT NULL,
    idempotency_key text COLLATE "C",
    fingerprint bytea,
    wallet_after text NOT NULL,
    adjusted_at bigint NOT NULL,
    UNIQUE (user_id, idempotency_key),
    CHECK ((idempotency_key IS NULL) = (fingerprint IS NULL))
);

CREATE FUNCTION {service}.refuse() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION '% of %: it is there for good', TG_OP, TG_TABLE_NAME; END $$;
CREATE TRIGGER stays BEFORE UPDATE OR DELETE ON {service}.transfers
    FOR EACH ROW EXECUTE FUNCTION {service}.refuse();
CREATE TRIGGER stays BEFORE UPDATE OR DELETE ON {service}.refusals
    FOR EACH ROW EXECUTE FUNCTION {service}.refuse();
CREATE TRIGGER stays BEFORE UPDATE OR DELETE ON {service}.adjustments
    FOR EACH ROW EXECUTE FUNCTION {service}.refuse();
CREATE TRIGGER stays BEFORE DELETE ON {service}.accounts
    FOR EACH ROW EXECUTE FUNCTION {service}.refuse();
