-- What is kept beside the commands. Whatever belongs to a user's address (its nonce, its coins, what has a claim on them)
-- changes only under the lock of that user, which is no row: see `store/postgres.rs`. What is unique here is unique already,
-- and is the last line of defence should all others fail.

-- In which order commands were accepted, for whoever lists them. Taken before the commit, so two at once may come the other
-- way round.
ALTER TABLE {service}.commands ADD COLUMN number bigint GENERATED ALWAYS AS IDENTITY;

-- Whose address is whose. Keys are derived, never stored; the address is, so that a changed seed is noticed before it
-- signs for coins that lie elsewhere.
CREATE TABLE {service}.addresses (
    chain text NOT NULL,
    user_id bigint NOT NULL,
    address text NOT NULL,
    created_at bigint NOT NULL,
    PRIMARY KEY (chain, user_id)
);

-- The next nonce of each address that ever sent. Moves only together with the row that uses the nonce.
CREATE TABLE {service}.nonces (
    address text PRIMARY KEY,
    next_nonce bigint NOT NULL CHECK (next_nonce > 0)
);

-- What was signed for commands, written with the commit of the signed bytes (which are in the command's progress), and there
-- for good. A transfer is confirmed when its command is done.
CREATE TABLE {service}.transfers (
    order_id bigint NOT NULL,
    step text NOT NULL,
    from_user bigint NOT NULL,
    to_user bigint NOT NULL,
    asset text NOT NULL,
    amount numeric(39,0) NOT NULL CHECK (amount > 0),
    nonce bigint NOT NULL CHECK (nonce >= 0),
    hash text NOT NULL,
    signed_at bigint NOT NULL,
    PRIMARY KEY (order_id, step),
    UNIQUE (from_user, nonce)
);

-- What signed transfers will have done to customers' coins once their commands have ended: in above zero, out below. A row
-- for each customer; gone once it is in the count. The hot wallet, user 1, has none: its coins are not counted.
CREATE TABLE {service}.uncounted (
    user_id bigint NOT NULL CHECK (user_id > 1),
    order_id bigint NOT NULL,
    step text NOT NULL,
    asset text NOT NULL,
    change numeric(39,0) NOT NULL CHECK (change <> 0),
    PRIMARY KEY (user_id, order_id, step)
);

-- The coins at customers' addresses as far as they are counted: confirmed in, less confirmed out. `reservations` is how often
-- any of them were reserved, ever: who decides by a count whether coins go elsewhere says which number they saw with it.
CREATE TABLE {service}.coins (
    user_id bigint NOT NULL CHECK (user_id > 1),
    asset text NOT NULL,
    coins numeric(39,0) NOT NULL DEFAULT 0,
    reservations bigint NOT NULL DEFAULT 0,
    marked boolean NOT NULL DEFAULT true,
    checked_at bigint NOT NULL,
    PRIMARY KEY (user_id, asset)
);
CREATE INDEX coins_due ON {service}.coins (checked_at) WHERE marked;

-- Coins at a customer's address that a command is about to sign away, written before the ledger is asked to take the
-- payment. `released` once they are signed away, which is a row of `transfers` then, or the command has ended.
CREATE TABLE {service}.reservations (
    order_id bigint NOT NULL,
    step text NOT NULL,
    from_user bigint NOT NULL CHECK (from_user > 1),
    asset text NOT NULL,
    amount numeric(39,0) NOT NULL CHECK (amount > 0),
    reserved_at bigint NOT NULL,
    released boolean NOT NULL DEFAULT false,
    PRIMARY KEY (order_id, step)
);
CREATE INDEX reservations_held ON {service}.reservations (from_user) WHERE NOT released;

-- Coins on their way back to the hot wallet's address. The row with the signed bytes is the intent.
CREATE TABLE {service}.sweeps (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id bigint NOT NULL CHECK (user_id > 1),
    asset text NOT NULL,
    amount numeric(39,0) NOT NULL CHECK (amount > 0),
    nonce bigint NOT NULL CHECK (nonce >= 0),
    hash text NOT NULL,
    bytes bytea NOT NULL,
    state text NOT NULL CHECK (state IN ('signed', 'confirmed')),
    next_attempt_at bigint NOT NULL,
    tries bigint NOT NULL DEFAULT 0,
    created_at bigint NOT NULL,
    confirmed_at bigint,
    UNIQUE (user_id, nonce)
);
-- One sweep of an address at a time.
CREATE UNIQUE INDEX sweeps_open ON {service}.sweeps (user_id) WHERE state = 'signed';
CREATE INDEX sweeps_due ON {service}.sweeps (next_attempt_at) WHERE state = 'signed';

CREATE FUNCTION {service}.refuse() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION '% of %: it is there for good', TG_OP, TG_TABLE_NAME; END $$;
CREATE TRIGGER stays BEFORE UPDATE OR DELETE ON {service}.transfers
    FOR EACH ROW EXECUTE FUNCTION {service}.refuse();
CREATE TRIGGER stays BEFORE UPDATE OR DELETE ON {service}.addresses
    FOR EACH ROW EXECUTE FUNCTION {service}.refuse();
CREATE TRIGGER stays BEFORE DELETE ON {service}.nonces
    FOR EACH ROW EXECUTE FUNCTION {service}.refuse();
CREATE TRIGGER stays BEFORE DELETE ON {service}.reservations
    FOR EACH ROW EXECUTE FUNCTION {service}.refuse();
CREATE TRIGGER stays BEFORE DELETE ON {service}.sweeps
    FOR EACH ROW EXECUTE FUNCTION {service}.refuse();
