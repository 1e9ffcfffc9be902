//! The double-entry ledger
