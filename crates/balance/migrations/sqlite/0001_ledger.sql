-- The books. Amounts and balances are sixteen bytes whose order is the numbers' order (x'80' and fifteen zero bytes
-- is nothing), so the database itself can refuse what must never be stored.

CREATE TABLE balance_wallets (
    user_id   INTEGER PRIMARY KEY CHECK (user_id > 0),
    opened_at INTEGER NOT NULL
) STRICT;

-- One row for each (owner, asset) that money ever touched. The last line of defence for solvency is here: customers
-- and the hot wallet cannot be stored below zero.
CREATE TABLE balance_accounts (
    id      INTEGER PRIMARY KEY,
    owner   TEXT NOT NULL,
    asset   TEXT NOT NULL,
    balance BLOB NOT NULL CHECK (length(balance) = 16),
    UNIQUE (owner, asset),
    CHECK (balance >= x'80000000000000000000000000000000'
           OR NOT (owner = 'hot_wallet' OR owner GLOB 'user:*'))
) STRICT;

-- Append-only. `entry_id` ascends in the order of booking and is never used twice, because no row is ever deleted.
-- The accounts are no foreign keys: that would cost two look-ups for every transfer, and `check_books` looks.
CREATE TABLE balance_transfers (
    entry_id             INTEGER PRIMARY KEY,
    origin_kind          TEXT    NOT NULL,
    origin_id            INTEGER NOT NULL,
    leg                  INTEGER NOT NULL,
    debit_account        INTEGER NOT NULL,
    credit_account       INTEGER NOT NULL,
    amount               BLOB    NOT NULL
        CHECK (length(amount) = 16 AND amount > x'80000000000000000000000000000000'),
    debit_balance_after  BLOB    NOT NULL CHECK (length(debit_balance_after) = 16),
    credit_balance_after BLOB    NOT NULL CHECK (length(credit_balance_after) = 16),
    reason               TEXT    NOT NULL,
    actor                TEXT    NOT NULL,
    posted_at            INTEGER NOT NULL,
    CHECK (debit_account <> credit_account)
) STRICT;

-- A transfer's name: whoever books it again, finds it.
CREATE UNIQUE INDEX balance_transfers_by_id ON balance_transfers (origin_kind, origin_id, leg);
-- Statements: an index ends with the row's number, so each of these is in the order of booking.
CREATE INDEX balance_transfers_by_debit ON balance_transfers (debit_account);
CREATE INDEX balance_transfers_by_credit ON balance_transfers (credit_account);

CREATE TRIGGER balance_transfers_never_change BEFORE UPDATE ON balance_transfers
BEGIN SELECT RAISE(ABORT, 'a booked transfer never changes'); END;
CREATE TRIGGER balance_transfers_never_go BEFORE DELETE ON balance_transfers
BEGIN SELECT RAISE(ABORT, 'a booked transfer is never deleted'); END;

-- Holds that were refused for lack of funds, with their content: a late duplicate must never succeed.
CREATE TABLE balance_refusals (
    origin_kind TEXT    NOT NULL,
    origin_id   INTEGER NOT NULL,
    leg         INTEGER NOT NULL,
    debit       TEXT    NOT NULL,
    credit      TEXT    NOT NULL,
    asset       TEXT    NOT NULL,
    amount      BLOB    NOT NULL CHECK (length(amount) = 16),
    reason      TEXT    NOT NULL,
    actor       TEXT    NOT NULL,
    refused_at  INTEGER NOT NULL,
    PRIMARY KEY (origin_kind, origin_id, leg)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER balance_accounts_never_go BEFORE DELETE ON balance_accounts
BEGIN SELECT RAISE(ABORT, 'an account is never deleted'); END;
CREATE TRIGGER balance_refusals_never_go BEFORE DELETE ON balance_refusals
BEGIN SELECT RAISE(ABORT, 'a refusal is final'); END;

-- Corrections by hand: their number, what makes a repeated request recognisable, and how it was answered.
CREATE TABLE balance_adjustments (
    id              INTEGER PRIMARY KEY,
    user_id         INTEGER NOT NULL,
    idempotency_key TEXT,
    fingerprint     BLOB,
    wallet_after    TEXT    NOT NULL,
    adjusted_at     INTEGER NOT NULL,
    UNIQUE (user_id, idempotency_key),
    CHECK ((idempotency_key IS NULL) = (fingerprint IS NULL))
) STRICT;
