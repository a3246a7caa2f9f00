//! What a reward is granted, compared with what its plugin asks for.

use r1x_core::Capability;

use super::Resolver;
use crate::codes;
use crate::diagnostic::quoted;
use crate::read::At;
use crate::source::Span;
use crate::spec::RewardSpec;

impl Resolver<'_, '_> {
    /// What the reward is granted; everything its plugin asks for must be among it, and must be had here.
    pub(super) fn grant(
        &mut self,
        id: &str,
        (spec, plugin): (&At<RewardSpec>, Span),
        asks: &[Capability],
    ) -> Vec<Capability> {
        let granted = spec.grant.capabilities();
        for asked in asks.iter().filter(|asked| !granted.contains(asked)) {
            let (name, about) = (asked.as_str(), asked.about());
            let message = format!(
                "the plugin of the reward {} asks for `{name}`: to {about}, which is not granted",
                quoted(id)
            );
            let mut words: Vec<&str> = granted.iter().map(|known| known.as_str()).collect();
            words.push(name);
            let help = format!(
                "if it may, add `grant: [{}]` to this reward; docs/plugins.md says what it means",
                words.join(", ")
            );
            self.error(codes::CAPABILITY, plugin, message).help(help);
        }
        if granted.contains(&Capability::Judge) && self.judges.is_empty() {
            let message = "`judge` is granted, and there are no `judges` to ask".to_owned();
            let help = "name one: `judges: {critic: {checkpoint: PATH}}`";
            self.error(codes::CAPABILITY, spec.grant.span, message).help(help);
        }
        for asked in asks.iter().filter(|asked| granted.contains(asked)) {
            if let Err(error) = self.inputs.ready(*asked) {
                let name = asked.as_str();
                let message = format!("`{name}` cannot be had here: {error}");
                self.error(codes::CAPABILITY, spec.grant.span, message).input();
            }
        }
        granted
    }
}
