-- Who may log in, with which keys tokens are signed, and how often logging in failed.

-- The *_key columns are lower case: names and addresses are unique whatever their case.
-- A user without password_hash exists, but nobody can log in as them.
CREATE TABLE auth.users (
    id bigint PRIMARY KEY,
    username text NOT NULL,
    username_key text NOT NULL UNIQUE,
    first_name text NOT NULL,
    last_name text NOT NULL,
    email text NOT NULL,
    email_key text NOT NULL UNIQUE,
    password_hash text,
    created_at bigint NOT NULL
);

-- The number that was given last: a user's number is never given to another. A row and not a sequence, so that numbers
-- are in the order of the commits and a refused user costs none. Number 1 is the hot wallet's, whoever comes first.
CREATE TABLE auth.last_user (
    one integer PRIMARY KEY CHECK (one = 1),
    id bigint NOT NULL
);
INSERT INTO auth.last_user (one, id) VALUES (1, 1);

CREATE TABLE auth.signing_keys (
    kid text PRIMARY KEY,
    private_key bytea NOT NULL CHECK (octet_length(private_key) = 32),
    created_at bigint NOT NULL,
    retired_at bigint
);

-- account is the SHA-256 of the name that was tried: people type passwords into the wrong field.
CREATE TABLE auth.login_failures (
    account bytea PRIMARY KEY CHECK (octet_length(account) = 32),
    failures bigint NOT NULL,
    since bigint NOT NULL
);
CREATE INDEX login_failures_since ON auth.login_failures (since);
