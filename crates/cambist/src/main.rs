//! The program: reads what it is asked to do, does it, and says with its exit code how that went.

use std::process::ExitCode;

use cambist::{cli, commands};

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
