//! The program: reads what it is asked to do, does it, and says with its exit code how that went.

use std::process::ExitCode;

use cambist::{cli, commands};

/// Many small allocations on many threads, and 19 MiB for each password: the system's allocator keeps the latter for ever,
/// once per thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let matches = cli::command().get_matches();
    match commands::run(&matches) {
        Ok(code) => code,
        Err(error) => {
            cli::complain(&error);
            ExitCode::FAILURE
        }
    }
}
