//! `r1x check`: everything that would stop a run before its first step.
//!
//! It does what `run` does up to there and begins nothing. Must not look for mistakes of its own: a mistake that
//! only one of the two found would be a trap.

use std::time::Instant;

use r1x_spec::Asked;

use crate::args::Global;
use crate::command::sweep;
use crate::display::{Line, Page, Tone};
use crate::failure::{Failure, code};
use crate::inputs::World;
use crate::lock::{Agreement, Guard, Locking, Verdict, path_of};
use crate::memory::Excess;
use crate::notice::Notice;
use crate::output::{self, Stream};
use crate::plans::SpecSource;
use crate::prepare::{Share, prepare};
use crate::speed::all_cores;
use crate::{earlier, plans, table};

/// Checks a spec and the plugins and data it names; of a spec that stands for several runs, every one of them.
///
/// # Errors
/// Everything wrong, printed at once.
pub fn check(
    global: &Global,
    spec: &SpecSource,
    excess: Excess,
    locking: Locking,
) -> Result<i32, Failure> {
    let began = Instant::now();
    let guard = Guard::open(&spec.path, locking)?;
    let world = World::with_workers(1)?.with_checkpoints(earlier::finder(global.store()));
    let asked = plans::asked(spec, &world)?;
    let share = Share::alone(all_cores());
    let verdict = guard.compare(&asked, &spec.overrides, &world)?;
    let (runs, plan) = match &asked {
        Asked::Run(resolved) => {
            let prepared = prepare(&resolved.plan, &world, None, share, excess)?;
            verdict.notice().into_iter().chain(&prepared.notices).for_each(Notice::say);
            (None, &resolved.plan)
        }
        Asked::Sweep(all) => {
            verdict.notice().into_iter().for_each(Notice::say);
            sweep::checked(all, &world, share, excess)?;
            let first = all.combinations.first().map(|first| &first.resolved.plan);
            let nothing =
                || Failure::new(code::INTERNAL, "a sweep without a run", "please report this");
            (Some(all.combinations.len()), first.ok_or_else(nothing)?)
        }
    };
    for (path, took) in world.compiled() {
        eprintln!("compiled {path} in {}", table::seconds(took.as_secs_f64()));
    }
    let plural =
        |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let runs = runs.map_or_else(String::new, |runs| format!("{}, each with ", plural(runs, "run")));
    let said = format!(
        "  {}  {runs}{}, {}, {}  ({:.0} ms)",
        spec.path.display(),
        plural(plan.stages.len(), "stage"),
        plural(plan.rewards.len(), "reward"),
        plural(plan.evals.len(), "suite"),
        began.elapsed().as_secs_f64() * 1e3,
    );
    let mut page = Page::default();
    page.line(Line::of(Tone::Good, "ok").and(Tone::Plain, said));
    if let Verdict::Unchanged { inputs, plan } = verdict {
        let inputs = match inputs {
            0 => "nothing to lock".to_owned(),
            count => format!("{} as locked", plural(count, "input")),
        };
        let plan = match plan {
            Agreement::Locked => "",
            // Seeds that are asked for beside the spec make other plans of what it reads.
            Agreement::Other if !spec.seeds.seeds.is_empty() => "",
            Agreement::Other => ", under another plan: the spec or --set says something else",
        };
        page.line(format!("    {}  {inputs}{plan}", path_of(&spec.path).display()));
    }
    output::page(Stream::Out, &page);
    Ok(0)
}
