-- Who may log in, with which keys tokens are signed, and how often logging in failed.

-- The *_key columns are lower case: names and addresses are unique whatever their case.
-- A user without password_hash exists, but nobody can log in as them.
-- AUTOINCREMENT: a user's number is never given to another.
CREATE TABLE auth_users (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    username TEXT NOT NULL,
    username_key TEXT NOT NULL UNIQUE,
    first_name TEXT NOT NULL,
    last_name TEXT NOT NULL,
    email TEXT NOT NULL,
    email_key TEXT NOT NULL UNIQUE,
    password_hash TEXT,
    created_at INTEGER NOT NULL
) STRICT;

-- Number 1 is the hot wallet's, whoever comes first.
INSERT INTO sqlite_sequence (name, seq) VALUES ('auth_users', 1);

CREATE TABLE auth_signing_keys (
    kid TEXT PRIMARY KEY,
    private_key BLOB NOT NULL CHECK (length(private_key) = 32),
    created_at INTEGER NOT NULL,
    retired_at INTEGER
) STRICT, WITHOUT ROWID;

-- account is the SHA-256 of the name that was tried: people type passwords into the wrong field.
CREATE TABLE auth_login_failures (
    account BLOB PRIMARY KEY CHECK (length(account) = 32),
    failures INTEGER NOT NULL,
    since INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX auth_login_failures_since ON auth_login_failures (since);
