//! `r1x schema`, `explain`, `completions` and `version`.
//!
//! Must not need a store or a spec.

use clap::CommandFactory;

use crate::cli::Cli;
use crate::failure::{Failure, code};

/// Prints the JSON Schema of specs.
///
/// # Errors
/// Never.
pub fn schema() -> Result<i32, Failure> {
    println!("{:#}", r1x_spec::schema());
    Ok(0)
}

/// Explains an error code.
///
/// # Errors
/// When there is no such code.
pub fn explain(asked: &str) -> Result<i32, Failure> {
    let Some(info) = r1x_spec::explain(asked) else {
        let known: Vec<&str> = r1x_spec::CODES.iter().map(|info| info.code).collect();
        let hint = format!("the codes are {}", known.join(", "));
        return Err(Failure::new(code::INPUT, format!("there is no error code `{asked}`"), hint));
    };
    println!("{}: {}\n\n{}", info.code, info.title, info.text);
    Ok(0)
}

/// Prints a completion script.
///
/// # Errors
/// Never.
pub fn completions(shell: clap_complete::Shell) -> Result<i32, Failure> {
    clap_complete::generate(shell, &mut Cli::command(), "r1x", &mut std::io::stdout());
    Ok(0)
}

/// Prints version and build.
///
/// # Errors
/// Never.
pub fn version() -> Result<i32, Failure> {
    let commit = env!("R1X_GIT_COMMIT");
    let commit = if commit.is_empty() { "unknown commit" } else { commit };
    let dirty = if env!("R1X_GIT_DIRTY") == "true" { " with changes" } else { "" };
    println!("r1x {}", env!("CARGO_PKG_VERSION"));
    println!("commit   {commit}{dirty}");
    println!("compiler {}", env!("R1X_RUSTC"));
    println!(
        "devices  cpu ({}){}",
        r1x_ops::simd::level().name(),
        if cfg!(feature = "cuda") { ", cuda" } else { "" }
    );
    println!("spec     1");
    println!("store    {}", r1x_store::known_schema());
    println!("rewards  {}", r1x_reward::WIT_WORLD);
    Ok(0)
}
