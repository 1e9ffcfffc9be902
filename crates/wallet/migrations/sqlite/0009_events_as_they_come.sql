-- The log in the order in which it is written. Kept by order, the events of a commit lay apart among those of every order
-- that was under way, and each brought a page of its own into the write-ahead log.
ALTER TABLE wallet_order_events RENAME TO wallet_order_events_by_order;
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
) STRICT;
INSERT INTO wallet_order_events (order_id, seq, time, from_state, to_state, event, cause, actor)
    SELECT order_id, seq, time, from_state, to_state, event, cause, actor FROM wallet_order_events_by_order
    ORDER BY time, order_id, seq;
DROP TABLE wallet_order_events_by_order;
