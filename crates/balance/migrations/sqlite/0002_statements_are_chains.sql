-- A statement is read along a chain: each account names its newest entry, and each transfer the entry before it of either
-- side's owner, in whatever asset (0: there is none). An index by account would bring a page of each customer into the
-- write-ahead log at every booking, however many are booked at once; the chain lies in rows that are written anyway.
ALTER TABLE balance_accounts ADD COLUMN newest_entry INTEGER NOT NULL DEFAULT 0;
UPDATE balance_accounts SET newest_entry = max(
    coalesce((SELECT max(entry_id) FROM balance_transfers WHERE debit_account = id), 0),
    coalesce((SELECT max(entry_id) FROM balance_transfers WHERE credit_account = id), 0));

ALTER TABLE balance_transfers ADD COLUMN debit_previous INTEGER NOT NULL DEFAULT 0;
ALTER TABLE balance_transfers ADD COLUMN credit_previous INTEGER NOT NULL DEFAULT 0;
CREATE TABLE balance_lines (
    entry_id INTEGER NOT NULL,
    account  INTEGER NOT NULL,
    previous INTEGER NOT NULL,
    PRIMARY KEY (entry_id, account)
) STRICT, WITHOUT ROWID;
INSERT INTO balance_lines (entry_id, account, previous)
    SELECT entry_id, account, lag(entry_id, 1, 0) OVER (PARTITION BY owner ORDER BY entry_id) FROM (
        SELECT t.entry_id, a.id AS account, a.owner
            FROM balance_transfers t JOIN balance_accounts a ON a.id = t.debit_account
        UNION ALL
        SELECT t.entry_id, a.id, a.owner
            FROM balance_transfers t JOIN balance_accounts a ON a.id = t.credit_account);
DROP TRIGGER balance_transfers_never_change;
UPDATE balance_transfers SET
    debit_previous = coalesce((SELECT previous FROM balance_lines l
        WHERE l.entry_id = balance_transfers.entry_id AND l.account = debit_account), 0),
    credit_previous = coalesce((SELECT previous FROM balance_lines l
        WHERE l.entry_id = balance_transfers.entry_id AND l.account = credit_account), 0);
CREATE TRIGGER balance_transfers_never_change BEFORE UPDATE ON balance_transfers
BEGIN SELECT RAISE(ABORT, 'a booked transfer never changes'); END;
DROP TABLE balance_lines;
DROP INDEX balance_transfers_by_debit;
DROP INDEX balance_transfers_by_credit;
