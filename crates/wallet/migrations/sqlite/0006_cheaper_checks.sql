-- `CHECK (state IN (…))` builds a temporary tree of its eleven values at every write, which took a fifth of the time of an
-- order's UPDATE; a chain of comparisons says the same and builds nothing. SQLite has no statement to change a check; its
-- documentation ("ALTER TABLE", section 8) names this way for changes that do not touch the stored content.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql,
    'CHECK (state IN (''created'', ''exchanging'', ''withdrawing'', ''reversing'', ''releasing'',
        ''stuck_exchanging'', ''stuck_withdrawing'', ''stuck_reversing'', ''stuck_releasing'', ''completed'', ''failed''))',
    'CHECK (state = ''created'' OR state = ''exchanging'' OR state = ''withdrawing'' OR state = ''reversing''
        OR state = ''releasing'' OR state = ''stuck_exchanging'' OR state = ''stuck_withdrawing''
        OR state = ''stuck_reversing'' OR state = ''stuck_releasing'' OR state = ''completed'' OR state = ''failed'')')
    WHERE type = 'table' AND name = 'wallet_orders';
PRAGMA writable_schema = RESET;
