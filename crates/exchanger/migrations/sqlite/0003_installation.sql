-- Which installation this is: a part of the name of every order at the venue, which may remember another database's.
-- Drawn by SQLite itself, with the tables and never again; nothing but names depends on it.
CREATE TABLE exchanger_installation (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    id TEXT NOT NULL CHECK (length(id) = 8)
) STRICT;
INSERT INTO exchanger_installation (one, id) VALUES (1, lower(hex(randomblob(4))));
