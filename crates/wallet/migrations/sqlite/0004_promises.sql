-- Whether the order's user was told that it is accepted while its hold was undecided: then a refusal that comes later is
-- told as well.
ALTER TABLE wallet_orders ADD COLUMN promised INTEGER NOT NULL DEFAULT 0;

-- Who may do nothing at present. What was done to whom, and by whom, is in the acts of operators.
CREATE TABLE wallet_freezes (
    user_id INTEGER PRIMARY KEY,
    operator TEXT NOT NULL,
    reason TEXT NOT NULL,
    since INTEGER NOT NULL
) STRICT;
