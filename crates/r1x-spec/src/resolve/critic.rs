//! A critic: which model it is, and what does not go with it.

use r1x_core::plan::{
    AdvantageKind, CombineOrder, CriticPlan, HeadPlan, ValueLossPlan, WeightsFrom,
};

use super::Resolver;
use super::further::Placed;
use crate::codes;
use crate::diagnostic::quoted;
use crate::loss_values::ZeroSignalKind;
use crate::read::At;
use crate::spec::{CriticSpec, GrpoSpec};

impl Resolver<'_, '_> {
    /// The critic of a stage, `Some(None)` where it has none; `above` are the stages above it. `None` after a mistake.
    pub(super) fn critic(
        &mut self,
        spec: &GrpoSpec,
        above: &[Placed],
    ) -> Option<Option<CriticPlan>> {
        let asks = *spec.advantage.kind == AdvantageKind::Gae;
        let Some(critic) = &spec.critic else {
            if asks {
                let message = "advantages by `gae` ask a critic, and the stage has none".to_owned();
                let help = "write `critic: {model: NAME, lr: 1e-5}`, where `models.NAME` has `head: value`";
                self.error(codes::ONE_OF, spec.advantage.kind.span, message).help(help);
                return None;
            }
            return Some(None);
        };
        if !asks {
            let message = "nobody asks this critic".to_owned();
            let help = "write `advantage: {kind: gae}` or `algorithm: ppo`, or take the critic out";
            self.error(codes::ONE_OF, critic.span, message).help(help);
        }
        self.check_beside_critic(spec);
        if *critic.alone_steps >= *spec.steps {
            let (alone, steps) = (*critic.alone_steps, *spec.steps);
            let message =
                format!("the critic learns alone for {alone} steps, and the stage has {steps}");
            let help = "lower `alone_steps`, so that the policy learns as well";
            self.error(codes::COUNTS, critic.alone_steps.span, message).help(help);
        }
        let model = self.model_of_stage(Some(&critic.model))?;
        self.check_critic(critic, &model);
        let weights = self.weights(critic.weights.as_ref(), &model, above, above.len())?;
        self.check_learner(critic, &weights);
        Some(Some(CriticPlan {
            model: critic.model.0.clone(),
            weights,
            gamma: *critic.gamma,
            lambda: *critic.lambda,
            whiten: *critic.whiten,
            alone_steps: *critic.alone_steps,
            optimizer: self.optimizer(&critic.optimizer, *spec.steps),
            loss: ValueLossPlan { clip: Some(*critic.value_clip).filter(|clip| *clip > 0.0) },
        }))
    }

    /// Reports what says nothing where tokens are compared with what a critic expects of them.
    fn check_beside_critic(&mut self, spec: &GrpoSpec) {
        let zero_signal = &spec.zero_signal;
        if **zero_signal == ZeroSignalKind::Drop {
            let message = "a group of equal totals teaches where it is compared with a critic";
            let help = "use `zero_signal: keep`";
            self.error(codes::COUNTS, zero_signal.span, message.to_owned()).help(help);
        }
        let combine = &spec.advantage.combine;
        if **combine == CombineOrder::NormalizeThenSum {
            let message = "a critic expects the total, so rewards are added up first".to_owned();
            let help = "use `combine: sum_then_normalize`";
            self.error(codes::COUNTS, combine.span, message).help(help);
        }
        if let Some(whiten) = spec.advantage.whiten.as_ref().filter(|whiten| ***whiten) {
            let message = "the advantages of tokens are whitened by `critic.whiten`".to_owned();
            self.error(codes::COUNTS, whiten.span, message).help("take `advantage.whiten` out");
        }
    }

    /// A critic reads every sequence of the policy and says a value of each token.
    fn check_critic(&mut self, critic: &At<CriticSpec>, model: &Option<String>) {
        let known = self.models.iter().find(|known| known.name == *model);
        let Some(plan) = known.and_then(|known| known.plan.as_ref()) else { return };
        let (head, reads) = (plan.head, plan.context_length);
        let span = critic.model.span;
        if head != HeadPlan::Value {
            let name = quoted(&critic.model.0);
            let message = format!("the model {name} says tokens, and a critic says values");
            let help = format!("write `head: value` in models.{}", critic.model.0);
            self.error(codes::SHAPE, span, message).help(help);
        }
        if let Some(policy) = self.context_length.filter(|length| *length > reads) {
            let message =
                format!("the critic reads {reads} tokens of a sequence, and the policy {policy}");
            let help = format!("raise models.{}.context_length", critic.model.0);
            self.error(codes::COUNTS, span, message).help(help);
        }
    }

    /// A critic begins with weights that a stage has made.
    fn check_learner(&mut self, critic: &At<CriticSpec>, weights: &WeightsFrom) {
        let WeightsFrom::Stage(id) = weights else { return };
        if !self.learners.contains(id) {
            let span = critic.weights.as_ref().map_or(critic.span, |name| name.span);
            let message = format!("the stage {} leaves weights as they are", quoted(id));
            let help = "name the stage that has made the weights, or `base`";
            self.error(codes::UNKNOWN_NAME, span, message).help(help);
        }
    }
}
