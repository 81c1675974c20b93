//! `roadstead`: the server's command.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    api_server::cli::run().await
}
