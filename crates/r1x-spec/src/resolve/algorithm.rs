//! The choices of a named algorithm, where nobody wrote others.

use serde::Serialize;
use serde_json::json;

use super::Resolver;
use crate::read::At;
use crate::source::Origin;
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
        }
        spec
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
