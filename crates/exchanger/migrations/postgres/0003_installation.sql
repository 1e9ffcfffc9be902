-- Which installation this is: a part of the name of every order at the venue, which may remember another database's.
-- Drawn by PostgreSQL itself, with the table and never again, so that all replicas read the same. The first eight digits of
-- a random UUID are all random.
CREATE TABLE exchanger.installation (
    one integer PRIMARY KEY CHECK (one = 1),
    id text NOT NULL CHECK (length(id) = 8)
);
INSERT INTO exchanger.installation (one, id) VALUES (1, left(gen_random_uuid()::text, 8));
