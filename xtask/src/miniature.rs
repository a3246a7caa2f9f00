//! `cargo xtask miniature`: the claims of DeepSeek-R1 in miniature, and what they come to.
//!
//! A claim is a question in SQL, `SPEC.sql` or `SPEC.CLAIM.sql` beside a spec in `experiments/miniature`. Each spec runs
//! with several seeds into one store; the question gives a value for each arm, figure and run, and the page gets the means,
//! their standard errors over seeds, a picture and the digests, between marks. What is said about them people write.

mod picture;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::Context;
use crate::failure::Failure;
use crate::program;
use table::{Cell, Table};

/// Where specs and questions are, below the top of the repository.
const CLAIMS: &str = "experiments/miniature";
/// The page that the tables are written into.
const PAGE: &str = "docs/r1-in-miniature.md";
/// The store, unless another one is named.
const STORE: &str = "runs/miniature.sqlite";
const SEEDS: u64 = 3;

/// What the command line says.
struct Options {
    store: PathBuf,
    seeds: u64,
    /// A built `r1x`, in place of one that is built now.
    program: Option<PathBuf>,
    /// Whether to ask the store alone, and run nothing.
    only_tables: bool,
    /// The claims that are meant; none for all of them.
    claims: Vec<String>,
}

/// Runs the task.
pub fn run(context: &Context) -> Result<(), Failure> {
    let options = options(context)?;
    let program = match &options.program {
        Some(program) => program.clone(),
        None => program::build(context, "r1x")?,
    };
    let miniature = Miniature { root: &context.root, program, store: options.store };
    for claim in claims(&context.root, &options.claims)? {
        for seed in 1..=options.seeds {
            if !options.only_tables {
                miniature.run(&claim, seed)?;
            }
        }
        miniature.write(&claim)?;
    }
    Ok(())
}

fn options(context: &Context) -> Result<Options, Failure> {
    let mut options = Options {
        store: context.root.join(STORE),
        seeds: SEEDS,
        program: None,
        only_tables: false,
        claims: Vec::new(),
    };
    let mut arguments = context.arguments.iter();
    while let Some(argument) = arguments.next() {
        let mut value = || {
            let wanted = || Failure::new(format!("{argument} needs a value"), "write it behind it");
            arguments.next().ok_or_else(wanted)
        };
        match argument.as_str() {
            "--only-tables" => options.only_tables = true,
            "--program" => options.program = Some(value()?.into()),
            "--store" => options.store = value()?.into(),
            "--seeds" => {
                let text = value()?;
                options.seeds = text.parse().map_err(|_| {
                    Failure::new(format!("`{text}` is no number of seeds"), "write for example 3")
                })?;
            }
            option if option.starts_with("--") => {
                let known = "--seeds N, --store FILE, --program FILE and --only-tables are known";
                return Err(Failure::new(format!("`{option}` is not understood"), known));
            }
            claim => options.claims.push(claim.to_owned()),
        }
    }
    Ok(options)
}

/// The claims that have a question, in the order of their names; some of them where some are named.
fn claims(root: &Path, named: &[String]) -> Result<Vec<String>, Failure> {
    let folder = root.join(CLAIMS);
    let entries = fs::read_dir(&folder).map_err(|error| failed(&folder, &error))?;
    let questions = entries.flatten().map(|entry| entry.path());
    let questions = questions.filter(|path| path.extension().is_some_and(|end| end == "sql"));
    let mut all: Vec<String> = questions
        .filter_map(|path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned()))
        .collect();
    all.sort();
    if let Some(unknown) = named.iter().find(|name| !all.contains(name)) {
        let message = format!("there is no claim `{unknown}`");
        return Err(Failure::new(message, format!("there is: {}", all.join(", "))));
    }
    all.retain(|claim| named.is_empty() || named.contains(claim));
    Ok(all)
}

/// The name of the spec that a claim is about.
fn spec_of(claim: &str) -> &str {
    claim.split('.').next().unwrap_or(claim)
}

/// Where runs come from and where they go.
struct Miniature<'a> {
    root: &'a Path,
    program: PathBuf,
    store: PathBuf,
}

impl Miniature<'_> {
    /// Runs a claim with a seed, unless the store has such a run that ended well.
    fn run(&self, claim: &str, seed: u64) -> Result<(), Failure> {
        if self.store.is_file() && self.digests(claim)?.iter().any(|(done, _)| *done == seed) {
            println!("{claim}, seed {seed}: in the store already");
            return Ok(());
        }
        println!("{claim}, seed {seed}");
        let mut run = self.command(&["run", &format!("{CLAIMS}/{}.yaml", spec_of(claim))]);
        let status = run.args(["--seed", &seed.to_string()]).status();
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(Failure::new(
                format!("{claim} with seed {seed} failed ({status})"),
                "its message is above",
            )),
            Err(error) => {
                Err(Failure::new(format!("r1x does not start: {error}"), "build it first"))
            }
        }
    }

    /// Asks about a claim and writes its part of the page and its picture.
    fn write(&self, claim: &str) -> Result<(), Failure> {
        let question = self.root.join(CLAIMS).join(format!("{claim}.sql"));
        let question = fs::read_to_string(&question).map_err(|error| failed(&question, &error))?;
        let cells = self.ask(&question)?.iter().map(Cell::read).collect::<Result<Vec<_>, _>>()?;
        let table = Table::of(cells);
        let name = format!("miniature-{}.svg", claim.replace('.', "-"));
        let picture = self.root.join("docs").join(&name);
        fs::write(&picture, picture::draw(&table)).map_err(|error| failed(&picture, &error))?;
        let page = self.root.join(PAGE);
        let text = fs::read_to_string(&page).map_err(|error| failed(&page, &error))?;
        let digests = self.digests(claim)?;
        let digests: Vec<String> =
            digests.iter().map(|(seed, digest)| format!("seed {seed} `{digest}`")).collect();
        let part = format!(
            "{}\n![The table as a picture: means, standard errors and single runs]({name})\n\nDigests: {}.\n",
            table.markdown(),
            digests.join(", ")
        );
        let text = replaced(&text, claim, &part)?;
        fs::write(&page, text).map_err(|error| failed(&page, &error))
    }

    /// The digest of the newest run of each seed that ended well, by seed.
    fn digests(&self, claim: &str) -> Result<Vec<(u64, String)>, Failure> {
        let question = format!(
            "SELECT seed, substr(digest, 1, 12) AS digest, max(run_id) FROM v_runs WHERE status = 'done' \
             AND spec LIKE '%miniature/{}.yaml' GROUP BY seed ORDER BY seed",
            spec_of(claim)
        );
        let row = |row: &Value| {
            let digest = row["digest"].as_str().unwrap_or_default().to_owned();
            row["seed"].as_u64().map(|seed| (seed, digest))
        };
        Ok(self.ask(&question)?.iter().filter_map(row).collect())
    }

    /// The rows that answer a question.
    fn ask(&self, question: &str) -> Result<Vec<Value>, Failure> {
        let output = self.command(&["sql", question, "--format", "jsonl"]).output();
        let output = output.map_err(|error| {
            Failure::new(format!("r1x does not start: {error}"), "build it first")
        })?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(Failure::new(said, "run the claims first"));
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let rows = text.lines().map(serde_json::from_str).collect::<Result<_, _>>();
        rows.map_err(|error| Failure::new(format!("no JSON: {error}"), "report a bug"))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).current_dir(self.root).env("R1X_STORE", &self.store);
        command
    }
}

/// The page with another text between the marks of a claim.
fn replaced(page: &str, claim: &str, part: &str) -> Result<String, Failure> {
    let (begin, end) = (format!("<!-- {claim} -->\n"), format!("<!-- end of {claim} -->"));
    let found = page.split_once(&begin).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(&end)?;
        Some(format!("{before}{begin}{part}{end}{after}"))
    });
    found.ok_or_else(|| {
        let message = format!("{PAGE} has no place for {claim}");
        Failure::new(message, format!("write {} and {end} on lines of their own", begin.trim()))
    })
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("{}: {error}", path.display()), "check the file and its permissions")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_page_is_replaced_and_nothing_else() {
        let page = "a\n<!-- one -->\nold\n<!-- end of one -->\nb\n<!-- two -->\nkept\n<!-- end of two -->\n";
        let found = replaced(page, "one", "new\n").unwrap();
        assert_eq!(found, page.replace("old", "new"));
        assert_eq!(replaced(&found, "one", "old\n").unwrap(), page);
        let said = replaced(page, "three", "new\n").unwrap_err().to_string();
        assert!(said.contains("no place for three"), "{said}");
    }

    #[test]
    fn options_are_read_in_any_order_and_wrong_ones_are_told() {
        let read = |arguments: &[&str]| {
            let arguments = arguments.iter().map(|text| (*text).to_owned()).collect();
            options(&Context { root: PathBuf::from("top"), arguments })
        };
        let found = read(&["readable", "--seeds", "2", "--only-tables", "--store", "s"]).unwrap();
        assert_eq!(found.claims, ["readable"]);
        assert_eq!((found.seeds, found.only_tables, found.program), (2, true, None));
        assert_eq!(found.store, PathBuf::from("s"));
        assert_eq!(read(&[]).unwrap().store, Path::new("top").join(STORE));
        for wrong in [&["--seeds"][..], &["--seeds", "many"], &["--quick"]] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }

    /// The claims of this repository have a spec, a question and a place in the page each.
    #[test]
    fn every_claim_is_whole() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let page = fs::read_to_string(root.join(PAGE)).unwrap();
        let all = claims(&root, &[]).unwrap();
        assert!(!all.is_empty());
        for claim in all {
            let spec = format!("{}.yaml", spec_of(&claim));
            assert!(root.join(CLAIMS).join(spec).is_file(), "{claim}");
            assert!(replaced(&page, &claim, "").is_ok(), "{claim}");
        }
    }
}
