-- Whose address is whose. Keys are derived, never stored; the address is, so that a changed seed is noticed before it
-- signs for coins that lie elsewhere.
CREATE TABLE bc_gateway_addresses (
    chain TEXT NOT NULL,
    user_id INTEGER NOT NULL,
    address TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (chain, user_id)
) STRICT, WITHOUT ROWID;

-- The next nonce of each address that ever sent. Moves only together with the row that uses the nonce.
CREATE TABLE bc_gateway_nonces (
    address TEXT NOT NULL PRIMARY KEY,
    next_nonce INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What was signed for commands, written with the commit of the signed bytes (which are in the command's progress).
-- A transfer is confirmed when its command is done; `counted` says whether it is in bc_gateway_coins already.
CREATE TABLE bc_gateway_transfers (
    order_id INTEGER NOT NULL,
    step TEXT NOT NULL,
    from_user INTEGER NOT NULL,
    to_user INTEGER NOT NULL,
    asset TEXT NOT NULL,
    amount BLOB NOT NULL,
    nonce INTEGER NOT NULL,
    hash TEXT NOT NULL,
    signed_at INTEGER NOT NULL,
    counted INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (order_id, step)
) STRICT, WITHOUT ROWID;

-- One nonce, one transfer: the last line of defence, should all others fail.
CREATE UNIQUE INDEX bc_gateway_transfers_nonce ON bc_gateway_transfers (from_user, nonce);
-- User 1 is the hot wallet, whose coins are not counted: nearly all transfers are its own.
CREATE INDEX bc_gateway_transfers_incoming ON bc_gateway_transfers (to_user) WHERE counted = 0 AND to_user <> 1;
CREATE INDEX bc_gateway_transfers_outgoing ON bc_gateway_transfers (from_user) WHERE counted = 0 AND from_user <> 1;

-- The coins at users' addresses as far as they are counted: confirmed in, less confirmed out.
CREATE TABLE bc_gateway_coins (
    user_id INTEGER NOT NULL,
    asset TEXT NOT NULL,
    coins BLOB NOT NULL,
    marked INTEGER NOT NULL,
    checked_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, asset)
) STRICT, WITHOUT ROWID;
CREATE INDEX bc_gateway_coins_due ON bc_gateway_coins (checked_at) WHERE marked = 1;

-- Coins on their way back to the hot wallet's address. The row with the signed bytes is the intent.
CREATE TABLE bc_gateway_sweeps (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id INTEGER NOT NULL,
    asset TEXT NOT NULL,
    amount BLOB NOT NULL,
    nonce INTEGER NOT NULL,
    hash TEXT NOT NULL,
    bytes BLOB NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('signed', 'confirmed')),
    next_attempt_at INTEGER NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    confirmed_at INTEGER
) STRICT;
-- One sweep of an address at a time.
CREATE UNIQUE INDEX bc_gateway_sweeps_open ON bc_gateway_sweeps (user_id) WHERE state = 'signed';
CREATE INDEX bc_gateway_sweeps_due ON bc_gateway_sweeps (next_attempt_at) WHERE state = 'signed';
