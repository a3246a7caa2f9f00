//! The choices of a named algorithm, where nobody wrote others.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use super::Resolver;
use crate::algorithm::System;
use crate::read::At;
use crate::source::{Origin, Span};
use crate::spec::GrpoSpec;

impl Resolver<'_, '_> {
    /// The keys of a stage with the choices of its algorithm as defaults.
    pub(super) fn with_algorithm(&mut self, spec: &At<GrpoSpec>) -> At<GrpoSpec> {
        let mut spec = spec.clone();
        let Some(algorithm) = spec.algorithm.as_deref().copied() else { return spec };
        let (choices, name) = (algorithm.choices(), json!(algorithm));
        let origin = Origin::Algorithm { name: name.as_str().unwrap_or_default().to_owned() };
        let stage = &mut spec.value;
        self.choose(&mut stage.advantage.value.kind, choices.advantage, &origin);
        self.choose(&mut stage.ratio, choices.ratio, &origin);
        self.choose(&mut stage.aggregation, choices.aggregation, &origin);
        self.choose(&mut stage.zero_signal, choices.zero_signal, &origin);
        self.choose(&mut stage.kl.value.r#in, choices.penalty, &origin);
        let clip = &mut stage.clip.value;
        self.choose(&mut clip.kind, choices.clip, &origin);
        // Bounds of another kind of clipping are no defaults of this one.
        if *clip.kind == choices.clip {
            for (bound, choice) in [(&mut clip.low, choices.low), (&mut clip.high, choices.high)] {
                if let Some(choice) = choice {
                    self.choose(bound, choice, &origin);
                }
            }
            let (path, span) = (&stage.clip.path, stage.clip.span);
            if let Some(most) = choices.system.max_ratio.filter(|_| clip.max_ratio.is_none()) {
                clip.max_ratio = Some(self.add(path, span, ("max_ratio", most), &origin));
            }
        }
        self.choose_system(stage, &choices.system, &origin);
        spec
    }

    /// What a system has beside the choices that algorithms differ in.
    fn choose_system(&mut self, stage: &mut GrpoSpec, system: &System, origin: &Origin) {
        let (advantage, kl, sampling) =
            (&mut stage.advantage.value, &mut stage.kl.value, &mut stage.sampling.value);
        for (value, choice) in [
            (&mut advantage.eps, system.eps),
            (&mut kl.coef, system.coef),
            (&mut sampling.temperature, system.temperature),
        ] {
            if let Some(choice) = choice {
                self.choose(value, choice, origin);
            }
        }
        if let Some(estimator) = system.estimator {
            self.choose(&mut kl.estimator, estimator, origin);
        }
    }

    /// A choice for a key without a default, which is shown beside the others of its map.
    fn add(
        &mut self,
        owner: &str,
        span: Span,
        (key, choice): (&str, f64),
        origin: &Origin,
    ) -> At<f64> {
        self.derived(owner, key, json!(choice));
        let path: Arc<str> = format!("{owner}.{key}").into();
        let settings = &mut self.reader.settings;
        if let Some(setting) = settings.iter_mut().find(|setting| setting.path == *path) {
            setting.origin = origin.clone();
        }
        At { value: choice, span, path }
    }

    /// Takes a choice for a key that nobody wrote, and shows where it came from.
    fn choose<T: Serialize>(&mut self, value: &mut At<T>, choice: T, origin: &Origin) {
        if self.is_written(value) {
            return;
        }
        let settings = &mut self.reader.settings;
        if let Some(setting) = settings.iter_mut().find(|setting| setting.path == *value.path) {
            (setting.value, setting.origin) = (json!(choice), origin.clone());
        }
        value.value = choice;
    }
}
