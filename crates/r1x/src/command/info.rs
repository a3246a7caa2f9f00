//! `r1x schema`, `explain`, `completions` and `version`.
//!
//! Must not need a store or a spec.

use crate::display::{Page, Table};
use crate::failure::{Failure, code};
use crate::output::{self, Stream};

/// Prints the JSON Schema of specs.
///
/// # Errors
/// Never.
pub fn schema() -> Result<i32, Failure> {
    output::json(&format!("{:#}", r1x_spec::schema()));
    Ok(0)
}

/// Explains an error code, or lists all of them.
///
/// # Errors
/// When there is no such code.
pub fn explain(asked: Option<&str>) -> Result<i32, Failure> {
    let mut page = Page::default();
    let Some(asked) = asked else {
        let row = |info: &r1x_spec::CodeInfo| vec![info.code.to_owned(), info.title.to_owned()];
        let rows: Vec<Vec<String>> = r1x_spec::CODES.iter().map(row).collect();
        page.table(Table::of(&["code", "means"], &rows).whole(&["code"]));
        output::page(Stream::Out, &page);
        return Ok(0);
    };
    let Some(info) = r1x_spec::explain(asked) else {
        let message = format!("there is no error code `{asked}`");
        return Err(Failure::new(code::INPUT, message, "`r1x explain` lists the codes"));
    };
    page.line(format!("{}: {}", info.code, info.title)).blank().text("", info.text);
    output::page(Stream::Out, &page);
    Ok(0)
}

/// Prints a completion script for the whole command line.
///
/// # Errors
/// Never.
pub fn completions(
    shell: clap_complete::Shell,
    command: &mut clap::Command,
) -> Result<i32, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, command, "r1x", &mut script);
    output::data(&String::from_utf8_lossy(&script));
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
