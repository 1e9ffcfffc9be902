//! Durable state: group commit, migrations, outbox and the command store
