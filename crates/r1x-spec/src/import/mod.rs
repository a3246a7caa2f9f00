//! Recipes of other systems, read and written as specs: text in, the text of a spec and what became of each key out.
//!
//! A system is a file with a table, one row a key, and a function that computes what no single key says. What is not in a
//! table is reported as unknown; nothing is passed over in silence.

mod common;
mod draft;
mod filling;
mod findings;
mod open_r1;
mod recipe;
mod rewards;
mod row;
mod shell;
mod table;
mod trl;
mod verl;

use std::path::Path;

use crate::diagnostic::Report;
use crate::read::Term as _;
use crate::schema_tree::Range;
use crate::spec::RunSpec;

use filling::Filling;
use recipe::{Given, Recipe};
use rewards::RewardRow;
use row::{Method, Row, Table};

pub use filling::Beside;
pub use findings::{Carried, FillIn, Findings, NoMatter, Told};
pub use table::page;

/// A system whose recipes can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// TRL: the YAML of `trl grpo --config` and `trl sft --config`.
    Trl,
    /// open-r1: the YAML files of its recipes.
    OpenR1,
    /// verl: a YAML file of its configuration, or a script that starts `main_ppo`.
    Verl,
}

impl System {
    /// All of them.
    pub const ALL: [System; 3] = [System::Trl, System::OpenR1, System::Verl];

    /// What it is called on the command line.
    pub const fn word(self) -> &'static str {
        match self {
            System::Trl => "trl",
            System::OpenR1 => "open-r1",
            System::Verl => "verl",
        }
    }

    /// Its name with the version whose defaults hold for keys that a recipe leaves out.
    pub const fn version(self) -> &'static str {
        self.table().version
    }

    const fn table(self) -> &'static Table {
        match self {
            System::Trl => &trl::TABLE,
            System::OpenR1 => &open_r1::TABLE,
            System::Verl => &verl::TABLE,
        }
    }

    /// The rows that the documentation has for it: what another table has already is not repeated.
    const fn own_rows(self) -> &'static [&'static [Row]] {
        match self {
            System::OpenR1 => &[open_r1::OWN],
            _ => self.table().parts,
        }
    }

    const fn rewards(self) -> &'static [RewardRow] {
        match self {
            System::Trl => trl::REWARDS,
            System::OpenR1 => open_r1::REWARDS,
            System::Verl => verl::REWARDS,
        }
    }

    /// The keys of a file.
    fn read(self, name: &Path, bytes: &[u8]) -> Result<Recipe, Report> {
        let recipe = Recipe::open(name, bytes)?;
        if self != System::Verl {
            return recipe.yaml();
        }
        let ending = name.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        if ending == "yaml" || ending == "yml" {
            let mut recipe = recipe.yaml()?;
            recipe.follow_references();
            return Ok(recipe);
        }
        shell::read(recipe)
    }

    /// What a recipe trains by; `None` where no key tells.
    fn method(self, recipe: &Recipe) -> Option<Method> {
        if self == System::Verl {
            return Some(verl::METHOD);
        }
        self.table().method(recipe.given.iter().map(|given| given.key.as_str()))
    }

    fn fill(self, filling: &mut Filling<'_>, file: &str) {
        match self {
            System::Trl => trl::fill(filling, file),
            System::OpenR1 => open_r1::fill(filling, file),
            System::Verl => verl::fill(filling, file),
        }
    }
}

/// A recipe that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The text of the spec.
    pub spec: String,
    /// What became of each key.
    pub findings: Findings,
}

/// Reads a recipe of a system, which is in the file of this name.
///
/// # Errors
/// When it is none, when a key has a value that its system does not take, or when r1x has nothing like it; everything
/// that is wrong, at once.
pub fn import(
    system: System,
    name: &Path,
    bytes: &[u8],
    beside: &Beside,
) -> Result<Imported, Report> {
    let recipe = system.read(name, bytes)?;
    let method = system.method(&recipe);
    let or_sft = method.unwrap_or(Method::Sft);
    let is_known = |given: &Given| system.table().row(&given.key, or_sft).is_some();
    if !recipe.given.iter().any(is_known) {
        let message = format!("no key of this file is one of {}", system.version());
        let help =
            "import the file that the training is started with, and say whose it is with `--from`";
        return Err(recipe.refused(1, message, help));
    }
    let mut filling = Filling::new(&recipe, or_sft, system.table(), beside);
    if method.is_none() {
        filling.assume(
            "no key of the recipe tells what it trains by; it was taken for supervised fine-tuning",
        );
    }
    filling.set_aside("r1x", "1", "");
    system.fill(&mut filling, &name.to_string_lossy());
    filling.account_for_the_rest();
    if !filling.diagnostics.is_empty() {
        return Err(Report::new(filling.diagnostics));
    }
    let file = name.file_name().unwrap_or_default().to_string_lossy();
    let file: String = file.chars().filter(|c| !c.is_control()).collect();
    let head = format!(
        "# From {file}\n\
         # by `r1x import-spec --from {}`. Each value stands beside the key it came from; what the recipe leaves out has\n\
         # the default of {}.\n",
        system.word(),
        system.version(),
    );
    let shape = RunSpec::shape(Range::ANY);
    let spec = head + &filling.draft.text(&shape) + &unsupported(&filling);
    let mut findings = filling.findings;
    let paths = filling.draft.paths(&shape);
    findings.carried.sort_by_key(|carried| paths.iter().position(|path| *path == carried.path));
    Ok(Imported { spec, findings })
}

/// Keys that the spec has nothing for, as comments at its end.
fn unsupported(filling: &Filling<'_>) -> String {
    let mut keys: Vec<&str> = Vec::new();
    for told in &filling.findings.unsupported {
        if !keys.contains(&told.key.as_str()) {
            keys.push(&told.key);
        }
    }
    if keys.is_empty() {
        return String::new();
    }
    let lines = keys.iter().map(|key| {
        let missing = filling.missing.iter().filter(|(of, _)| of == key);
        let names: Vec<&str> = missing.map(|(_, name)| name.as_str()).collect();
        let of = if names.is_empty() { String::new() } else { format!(": {}", names.join(", ")) };
        let line: String = format!("{key}{of}").chars().filter(|c| !c.is_control()).collect();
        format!("#   {line}\n")
    });
    format!("\n# Of the recipe r1x does not have:\n{}", lines.collect::<String>())
}
