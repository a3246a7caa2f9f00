//! `r1x plugin run --replay RUN`: a run's recorded rollouts judged by another build, and what changes.
//!
//! What is compared is what the plugin says, before bounds, condition and weight. Generates nothing and writes
//! nothing; `r1x rescore` keeps what is computed here.

use r1x_core::plan::{JudgedBy, OnFailure, PluginPlan, RewardPlan, ShapingPlan};
use r1x_core::{PortError, RewardOutcome, RewardStatus, Rewarder, RolloutGroup};
use r1x_reward::WasmRewarder;
use r1x_store::{RolloutStep, Store, StoredGroup};
use serde_json::json;

use super::{Opened, config, granted};
use crate::args::{AgainstArgs, Global, PluginArgs};
use crate::display::{Page, Table};
use crate::failure::{Failure, code};
use crate::number::{number, optional};
use crate::output::{self, Stream};
use crate::{imported, plans, stores, table};

/// One rollout judged twice.
pub struct Pair {
    /// `stage step.group.sample`.
    pub place: String,
    /// Its number in the store.
    pub rollout_id: i64,
    /// What the run recorded.
    pub before: Option<f64>,
    /// How that ended.
    pub before_status: String,
    /// What the build says now.
    pub now: RewardOutcome,
    /// Beginning of the completion.
    pub text: String,
}

impl Pair {
    fn changed(&self) -> bool {
        self.before.map(f64::to_bits) != self.now.value.map(f64::to_bits)
    }
}

/// A run judged again.
pub struct Judged {
    /// Name of the run.
    pub run: String,
    /// Id of the reward compared with.
    pub reward: String,
    /// What the plugin was configured with.
    pub config: String,
    /// Every rollout.
    pub pairs: Vec<Pair>,
}

/// Scores and prints.
///
/// # Errors
/// When the run or the plugin cannot be read, or the run records no text.
pub fn run(
    global: &Global,
    arguments: &PluginArgs,
    run: &str,
    against: &AgainstArgs,
) -> Result<i32, Failure> {
    let store = stores::reading(global.store())?;
    let opened = granted(arguments)?;
    let judged = judge(&store, &opened, arguments, run, against.reward.as_deref())?;
    report(&judged, against);
    Ok(0)
}

/// Scores every recorded rollout of a run.
///
/// # Errors
/// When the run or the plugin does not allow it.
pub fn judge(
    store: &Store,
    opened: &Opened,
    arguments: &PluginArgs,
    run: &str,
    reward: Option<&str>,
) -> Result<Judged, Failure> {
    let name = store.run(run)?.name;
    let original = original(store, run, opened, reward)?;
    let Some(planned) = original.plugin() else {
        return Err(Failure::new(
            code::INPUT,
            format!("the reward `{}` of run `{name}` is judged by a reward model", original.id),
            "name a reward that a plugin judges: `--reward ID`",
        ));
    };
    let config = match &arguments.with {
        Some(_) => config(arguments.with.as_deref())?,
        None => planned.config.clone(),
    };
    let judge = PluginPlan {
        path: opened.plugin.source().to_owned(),
        sha256: opened.plugin.sha256().to_owned(),
        config: config.clone(),
        ..planned.clone()
    };
    let plan = RewardPlan {
        judged_by: JudgedBy::Plugin(judge),
        on_failure: OnFailure::Mask,
        max_failed_share: 1.0,
        ..original
    };
    let wired = [(plan.clone(), opened.plugin.clone())];
    let port = |error: r1x_reward::RewardError| Failure::from(PortError::from(error));
    let mut rewarder = WasmRewarder::new(opened.plugin.host(), &wired).map_err(port)?;
    let steps = store.rollout_steps(run)?;
    if steps.is_empty() {
        return Err(Failure::new(
            code::INPUT,
            format!("run `{name}` has no rollouts to score"),
            "only stages that sample record rollouts",
        ));
    }
    let mut pairs = Vec::new();
    for step in &steps {
        let groups = store.stored_groups(step, &plan.id)?;
        let asked =
            groups.iter().map(|group| asked(group, &name)).collect::<Result<Vec<_>, _>>()?;
        let outcomes = rewarder.score(std::slice::from_ref(&plan), &asked)?.remove(0);
        collect(step, groups, outcomes, &mut pairs);
    }
    Ok(Judged { run: name, reward: plan.id, config, pairs })
}

/// The reward of the run's plan that the plugin is compared with.
fn original(
    store: &Store,
    run: &str,
    opened: &Opened,
    reward: Option<&str>,
) -> Result<RewardPlan, Failure> {
    let name = &opened.plugin.info().name;
    if let Some(of) = imported::provenance(&store.spec(run)?) {
        return of_imported(store.run(run)?.name, &of, opened, reward);
    }
    let plan = plans::plan_of(store, run)?;
    let id = match reward {
        Some(id) => Some(id.to_owned()),
        None => store.reward_of_plugin(run, name)?,
    };
    let known: Vec<&str> = plan.rewards.iter().map(|reward| reward.id.as_str()).collect();
    let found = id.as_deref().and_then(|id| plan.rewards.iter().find(|reward| reward.id == id));
    if let Some(found) = found {
        return Ok(found.clone());
    }
    let run = store.run(run)?.name;
    let message = match reward {
        Some(id) => format!("run `{run}` has no reward `{id}`"),
        None => format!("no reward of run `{run}` uses a plugin named `{name}`"),
    };
    Err(Failure::new(
        code::INPUT,
        message,
        format!("say which to compare with: --reward {}", known.join(" or --reward ")),
    ))
}

/// The reward of an imported run that the plugin is compared with. There is no plan of it, so the plugin is asked as a spec
/// would have it asked by default.
fn of_imported(
    run: String,
    of: &imported::Provenance,
    opened: &Opened,
    reward: Option<&str>,
) -> Result<RewardPlan, Failure> {
    let known: Vec<&str> = of.imported.rewards.iter().map(|reward| reward.name.as_str()).collect();
    let wanted = reward.unwrap_or(&opened.plugin.info().name);
    let id = match (known.iter().find(|id| **id == wanted), known.as_slice(), reward) {
        (Some(id), ..) => *id,
        (None, [only], None) => *only,
        (None, ..) => {
            let message = format!("run `{run}` has no reward `{wanted}`");
            let hint =
                format!("say which to compare with: --reward {}", known.join(" or --reward "));
            return Err(Failure::new(code::INPUT, message, hint));
        }
    };
    Ok(RewardPlan {
        id: id.to_owned(),
        judged_by: JudgedBy::Plugin(PluginPlan {
            path: opened.plugin.source().to_owned(),
            sha256: opened.plugin.sha256().to_owned(),
            config: config(None)?,
            limits: opened.limits(),
            grant: Vec::new(),
        }),
        weight: 1.0,
        on_failure: OnFailure::Mask,
        max_failed_share: 1.0,
        shaping: ShapingPlan::default(),
    })
}

fn asked(group: &StoredGroup, run: &str) -> Result<RolloutGroup, Failure> {
    group.asked().ok_or_else(|| {
        Failure::new(
            code::INPUT,
            format!("the store has not what the rollouts of run `{run}` say"),
            "its spec left that out (`record: {text: false}`), or `r1x gc` has removed it: the run has to be made again",
        )
    })
}

fn collect(
    step: &RolloutStep,
    groups: Vec<StoredGroup>,
    outcomes: Vec<Vec<RewardOutcome>>,
    pairs: &mut Vec<Pair>,
) {
    for (group, outcomes) in groups.into_iter().zip(outcomes) {
        for (rollout, now) in group.rollouts.into_iter().zip(outcomes) {
            // The reward did not judge this problem in the run, and does not now.
            if now.status == RewardStatus::Unasked {
                continue;
            }
            pairs.push(Pair {
                place: format!("{}.{}.{}", step.step, group.group, rollout.sample),
                rollout_id: rollout.rollout_id(),
                before: rollout.value,
                before_status: rollout.status.unwrap_or_else(|| "not scored".to_owned()),
                now,
                text: rollout.text.unwrap_or_default(),
            });
        }
    }
}

/// Prints the text, or the JSON object, about what changes.
pub fn report(judged: &Judged, against: &AgainstArgs) {
    let changed: Vec<&Pair> = judged.pairs.iter().filter(|pair| pair.changed()).collect();
    let (before, now) = (
        mean(judged.pairs.iter().map(|p| p.before)),
        mean(judged.pairs.iter().map(|p| p.now.value)),
    );
    let rose = changed.iter().filter(|pair| pair.before < pair.now.value).count();
    let shown = changed.iter().take(against.show);
    if against.json {
        let object = json!({
            "run": judged.run,
            "reward": judged.reward,
            "rollouts": judged.pairs.len(),
            "changed": changed.len(),
            "higher": rose,
            "mean_before": before,
            "mean_now": now,
            "examples": shown.map(|pair| json!({
                "rollout": pair.place,
                "before": pair.before,
                "before_status": pair.before_status,
                "now": pair.now.value,
                "status": pair.now.status.as_str(),
                "info": pair.now.info,
                "completion": pair.text,
            })).collect::<Vec<_>>(),
        });
        output::json(&object.to_string());
        return;
    }
    let mut page = Page::default();
    page.line(format!("{}  reward `{}`", judged.run, judged.reward));
    page.line(format!(
        "{} of {} rollouts change: {rose} higher, {} lower or without a value",
        table::count(changed.len() as u64),
        table::count(judged.pairs.len() as u64),
        changed.len() - rose,
    ));
    page.line(format!("mean {} before, {} now", optional(before), optional(now)));
    let rows: Vec<Vec<String>> = shown
        .map(|pair| {
            vec![
                pair.place.clone(),
                pair.before.map_or(pair.before_status.clone(), number),
                pair.now.value.map_or(pair.now.status.as_str().to_owned(), number),
                pair.now.info.clone().unwrap_or_default(),
                excerpt(&pair.text),
            ]
        })
        .collect();
    if !rows.is_empty() {
        let header = ["rollout", "before", "now", "why", "completion"];
        page.blank().table(Table::of(&header, &rows).whole(&["rollout"]));
    }
    output::page(Stream::Out, &page);
}

fn mean(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let (sum, count) = values.flatten().fold((0.0, 0u64), |(sum, n), value| (sum + value, n + 1));
    (count > 0).then(|| sum / count as f64)
}

fn excerpt(text: &str) -> String {
    // Answers stand at the end.
    let count = text.chars().count();
    let end: String = text.chars().skip(count.saturating_sub(48)).collect();
    format!("{}{end}", if count > 48 { "…" } else { "" })
}
