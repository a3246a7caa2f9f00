//! The adapters of a model: the projections that are to have them must be there.

use r1x_core::parameters::ParameterList;
use r1x_core::plan::{InitialWeights, LoraPlan, LoraTarget, ModelPlan};

use super::Resolver;
use crate::codes;
use crate::diagnostic::quoted;
use crate::read::At;
use crate::spec::{LoraSpec, ModelSpec};

impl Resolver<'_, '_> {
    /// The plan of a model with the adapters that its spec asks for.
    pub(super) fn with_adapters(
        &mut self,
        spec: &At<ModelSpec>,
        plan: ModelPlan,
    ) -> Option<ModelPlan> {
        if let (Some(mtp), Some(_)) = (&spec.mtp, &spec.lora) {
            let message = "`mtp` stands beside `lora`, and adapters are all that is trained";
            let help = "take one of the two out";
            self.error(codes::SHAPE, mtp.span, message.to_owned()).help(help);
        }
        let lora = match &spec.lora {
            None => None,
            Some(lora) => Some(match &lora.from {
                Some(from) => self.published_adapters(lora, from, &plan)?,
                None => self.fresh_adapters(lora, &plan)?,
            }),
        };
        let plan = ModelPlan { lora, ..plan };
        let written = match plan.beside_value_head() {
            Some("mtp") => spec.mtp.as_ref().map(|mtp| mtp.span),
            Some(_) => spec.lora.as_ref().map(|lora| lora.span),
            None => None,
        };
        if let (Some(key), Some(span)) = (plan.beside_value_head(), written) {
            let message = format!("`{key}` stands beside a value head, and no such model has one");
            let help = "take the key out, or write `head: vocabulary`";
            self.error(codes::SHAPE, span, message).help(help);
        }
        Some(plan)
    }

    fn published_adapters(
        &mut self,
        lora: &At<LoraSpec>,
        from: &At<String>,
        plan: &ModelPlan,
    ) -> Option<LoraPlan> {
        let beside = [
            ("rank", lora.rank.as_ref().map(|rank| rank.span)),
            ("alpha", lora.alpha.as_ref().map(|alpha| alpha.span)),
            ("scaling", Some(&lora.scaling).filter(|one| self.is_written(one)).map(|one| one.span)),
            ("targets", lora.targets.as_ref().map(|targets| targets.span)),
        ];
        for (key, span) in beside {
            let Some(span) = span else { continue };
            let message = format!("`{key}` stands beside `from`, whose folder says it");
            self.error(codes::SHAPE, span, message).help("take the key out");
        }
        self.forget_default_at(&format!("{}.scaling", lora.path));
        let folder = self.reader.sources.path(from.span.source, from);
        match self.inputs.adapters(&folder, plan) {
            Ok(found) => Some(found),
            Err(refusal) => {
                let message =
                    format!("the adapters {} cannot be used: {}", quoted(from), refusal.message);
                let diagnostic = self.error(codes::MISSING_FILE, from.span, message);
                diagnostic.input();
                if let Some(help) = refusal.help {
                    diagnostic.help(help);
                }
                None
            }
        }
    }

    fn fresh_adapters(&mut self, lora: &At<LoraSpec>, plan: &ModelPlan) -> Option<LoraPlan> {
        let possible = ParameterList::possible_targets(plan);
        let targets = match &lora.targets {
            None => possible,
            Some(written) => self.targets(written, &possible),
        };
        let Some(rank) = &lora.rank else {
            let message = format!("`{}` needs the key `rank`", lora.path);
            let help = "write the inner width of the adapters, such as `rank: 16`, or take adapters from a folder: \
                        lora: {from: PATH}";
            self.error(codes::MISSING_KEY, lora.span, message).help(help);
            return None;
        };
        Some(LoraPlan {
            rank: **rank,
            alpha: lora.alpha.as_ref().map_or(2.0 * **rank as f64, |alpha| **alpha),
            scaling: *lora.scaling,
            targets,
            initial: InitialWeights::Random,
        })
    }

    /// The targets that are written, in the order of a layer.
    fn targets(
        &mut self,
        written: &At<Vec<At<LoraTarget>>>,
        possible: &[LoraTarget],
    ) -> Vec<LoraTarget> {
        if written.is_empty() {
            let message = "`targets` names no projection, so nothing would be trained";
            let help = "name one, or take the key out for all of them";
            self.error(codes::SHAPE, written.span, message.to_owned()).help(help);
        }
        for (index, target) in written.iter().enumerate() {
            let name = target.name();
            if !possible.contains(target) {
                let names: Vec<&str> = possible.iter().map(|one| one.name()).collect();
                let message = format!("the model has no projection `{name}`");
                let help = format!("it has {}", names.join(", "));
                self.error(codes::SHAPE, target.span, message).help(help);
            } else if written[..index].iter().any(|earlier| earlier.value == target.value) {
                let message = format!("`{name}` is listed twice");
                self.error(codes::DUPLICATE_ID, target.span, message).help("take one of them out");
            }
        }
        let is_written = |one: &LoraTarget| written.iter().any(|target| target.value == *one);
        possible.iter().copied().filter(is_written).collect()
    }
}
