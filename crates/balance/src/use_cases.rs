//! What the ledger does for others, one verb in a file. The HTTP routes and the in-process client are both thin ways
//! to these.

mod adjust_wallet;
mod fund;
mod open_wallet;
mod post_transfers;
mod read_statement;
mod read_wallet;

pub use adjust_wallet::{AdjustError, Corrected, adjust_wallet};
pub use fund::{FundError, fund};
pub use open_wallet::{OpenError, open_wallet};
pub use post_transfers::{PostError, Reply, Signer, post_transfers};
pub use read_statement::{ReadStatementError, read_statement};
pub use read_wallet::{ReadWalletError, read_wallet};
