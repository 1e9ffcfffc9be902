-- Coins at a customer's address that a command is about to sign away, written before the ledger is asked to take the
-- payment. `released` is 1 once they are signed away, which is a row of bc_gateway_transfers then, or the command has ended.
-- A command that had a customer pay and has no row here was begun by a program that booked payer to receiver at once.
CREATE TABLE bc_gateway_reservations (
    order_id INTEGER NOT NULL,
    step TEXT NOT NULL,
    from_user INTEGER NOT NULL,
    asset TEXT NOT NULL,
    amount BLOB NOT NULL,
    reserved_at INTEGER NOT NULL,
    released INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (order_id, step)
) STRICT, WITHOUT ROWID;
CREATE INDEX bc_gateway_reservations_held ON bc_gateway_reservations (from_user) WHERE released = 0;
