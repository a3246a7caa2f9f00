//! Entries of a spec that nothing uses: they work and are hardly meant.
//!
//! Only entries of the file that was named are told. What it extends may have more than this run is about.

use r1x_core::Capability;
use r1x_core::plan::{RunPlan, StagePlan};

use super::Resolver;
use crate::codes;
use crate::diagnostic::quoted;
use crate::lists::Dict;
use crate::read::At;
use crate::source::{SourceId, Span};
use crate::spec::{ModelSpec, RunSpec, TokenizerKind};

impl Resolver<'_, '_> {
    /// Warns about models, data sets, rewards and judges that no stage and no suite uses.
    pub(super) fn warn_of_unused(&mut self, spec: &RunSpec, plan: &RunPlan) {
        let is_worked_on = |name: &str| plan.stages.iter().any(|stage| is_model_of(stage, name));
        let help = "a stage works on it with `model: NAME`; take it out where none is to";
        self.warn_of(
            &spec.models,
            "model",
            "no stage works on it or learns from it",
            help,
            &is_worked_on,
        );
        let words = worded(spec);
        let is_read = |id: &str| {
            let by_stage =
                |stage: &StagePlan| stage.kind.outline().data.iter().any(|data| data.data == id);
            plan.stages.iter().any(by_stage)
                || plan.evals.iter().any(|suite| suite.data.data == id)
                || words.contains(&id)
        };
        let help = "name it under `data` of a stage or a suite, or take it out";
        self.warn_of(&spec.data, "data set", "no stage and no suite draws from it", help, &is_read);
        let judges = |id: &str| {
            let by_stage =
                |stage: &StagePlan| stage.kind.outline().rewards.iter().any(|reward| reward == id);
            plan.stages.iter().any(by_stage)
                || plan
                    .evals
                    .iter()
                    .any(|suite| plan.graders(suite).iter().any(|reward| reward.id == id))
        };
        let help = "name it under `rewards` of a stage or as `grade` of a suite, or take it out";
        self.warn_of(&spec.rewards, "reward", "no stage and no suite asks it", help, &judges);
        // Which of the judges a plugin asks is the plugin's affair.
        let mut plugins = plan.rewards.iter().filter_map(|reward| reward.plugin());
        let are_asked = plugins.any(|plugin| plugin.grant.contains(&Capability::Judge));
        let help =
            "a reward may ask it where it has `grant: [judge]`; take it out where none is to";
        self.warn_of(&spec.judges, "judge", "no reward may ask it", help, &|_| are_asked);
    }

    fn warn_of<T>(
        &mut self,
        entries: &Dict<T>,
        kind: &str,
        why: &str,
        help: &str,
        is_used: &dyn Fn(&str) -> bool,
    ) {
        let unused = entries.0.iter().map(|(name, _)| name).filter(|name| !is_used(&name.0));
        let places: Vec<(Span, String)> = unused.map(|name| (name.span, quoted(&name.0))).collect();
        for (span, name) in places {
            if span.source == SourceId::NAMED {
                let message = format!("the {kind} {name} is of no use: {why}");
                self.reader.warning(codes::UNUSED, span, message).help(help);
            }
        }
    }
}

/// Whether a stage works on a further model of this name, has it as its critic, or learns from it.
fn is_model_of(stage: &StagePlan, name: &str) -> bool {
    let outline = stage.kind.outline();
    let teacher = outline.teacher.and_then(|teacher| teacher.plan.model.as_deref());
    let critic = outline.critic.map(|critic| critic.model.as_str());
    [stage.model.as_deref(), teacher, critic].contains(&Some(name))
}

/// Ids of the data sets whose words are the vocabulary of a model.
fn worded(spec: &RunSpec) -> Vec<&str> {
    let further = spec.models.0.iter().filter_map(|(_, model)| model.as_ref());
    spec.model.iter().chain(further).flat_map(words_of).collect()
}

fn words_of(model: &At<ModelSpec>) -> Vec<&str> {
    match model.tokenizer.as_ref().map(|tokenizer| &tokenizer.kind) {
        Some(TokenizerKind::Data(ids)) => {
            ids.value.0.0.iter().map(|id| id.value.as_str()).collect()
        }
        _ => Vec::new(),
    }
}
