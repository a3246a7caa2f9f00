//! One run of a sweep, in a process of its own: it goes on where it was begun, and begins otherwise.
//!
//! Must not be another run than the one that its spec makes without a sweep.

use r1x_spec::Given;
use r1x_store::{Store, SweepMember};

use crate::args::Global;
use crate::command::resume::choice::Run;
use crate::command::resume::{Lost, Point, resume};
use crate::command::run::{Ask, once};
use crate::failure::{Failure, code};
use crate::report::Form;
use crate::{interrupt, plans, stores, wiring};

use super::State;

/// Makes the run of a member, `SWEEP/INDEX`.
///
/// # Errors
/// Whatever stops it; what was recorded stays.
pub fn run(global: &Global, ask: &Ask, member: &str) -> Result<i32, Failure> {
    interrupt::take_orders();
    let store = stores::existing(global.store())?;
    let member = find(&store, member)?;
    // Somebody else may have started the sweep as well, and was here first.
    match State::of(member.run.as_ref()) {
        State::Ended(exit) => return Ok(exit),
        State::Elsewhere => {
            return Err(Failure::new(
                code::INPUT,
                "another process is at work on this run",
                "start the sweep again when it has ended",
            ));
        }
        State::New | State::Begun => {}
    }
    let begun = begun(&store, &member)?;
    drop(store);
    if let Some(run) = begun {
        let from = Point { checkpoint: None, lost: Lost::Ask, excess: ask.excess };
        return resume(global, &run, &ask.compute, &from, ask.form == Form::Json);
    }
    let device = wiring::device(&ask.compute)?;
    let world = ask.world(global)?;
    let values: Vec<Given> =
        member.values.iter().map(|(path, value)| (path.clone(), value.clone())).collect();
    let resolved = plans::combination(&ask.spec, &values, &world)?;
    let (_, plan) = plans::plan_json(&resolved.plan)?;
    if plan != member.plan_sha256 {
        return Err(plans::changed(&ask.spec));
    }
    once(global, ask, (&resolved, Some(member.member_id), None), (&world, &device))
}

fn find(store: &Store, member: &str) -> Result<SweepMember, Failure> {
    let none = || {
        let message = format!("there is no member {member} of a sweep");
        Failure::new(code::USAGE, message, "leave `--member` to r1x itself")
    };
    let (sweep, index) = member.rsplit_once('/').ok_or_else(none)?;
    let index: u64 = index.parse().map_err(|_| none())?;
    let found = store.sweep(sweep)?.members.into_iter().find(|member| member.index == index);
    found.ok_or_else(none)
}

/// The run that was begun for a member and can go on; one that has no checkpoint yet begins anew.
fn begun(store: &Store, member: &SweepMember) -> Result<Option<String>, Failure> {
    let Some(run) = member.run.as_ref().filter(|run| run.can_go_on()) else { return Ok(None) };
    let plan = plans::plan_of(store, &run.name)?;
    let choices = Run::new(store, &run.name, &run.uid, &plan)?.choices();
    Ok((!choices.choices.is_empty()).then(|| run.name.clone()))
}
