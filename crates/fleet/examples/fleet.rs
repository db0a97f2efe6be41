//! The `penstock fleet` commands without the server's binary.

use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use clap::Parser;
use penstock_fleet::cli::Fleet;

#[derive(Parser)]
#[command(name = "fleet")]
struct Cli {
    #[command(subcommand)]
    fleet: Fleet,
}

fn main() -> ExitCode {
    match Cli::parse().fleet.run(&AtomicBool::new(false)) {
        Ok(outcome) => {
            #[allow(clippy::print_stdout, reason = "stdout is data")]
            {
                println!("{}", outcome.text);
            }
            ExitCode::from(u8::from(!outcome.good))
        }
        Err(error) => {
            eprintln!("fleet: {error:#}");
            ExitCode::from(2)
        }
    }
}
