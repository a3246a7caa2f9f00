//! The rows of adapters (LoRA), beside the rows of the projections that have them.

use std::collections::BTreeSet;

use super::{Adapter, Initial, Module, ParameterList, Role, Tensor};
use crate::plan::{LoraPlan, LoraTarget, ModelPlan};

/// What the name of a matrix ends with.
const WEIGHT: &str = ".weight";

/// Gives every projection that is a target its adapter.
pub(super) fn add(list: &mut ParameterList, plan: &LoraPlan) {
    for module in list.layers.iter_mut().flat_map(|layers| &mut layers.modules) {
        module.adapters = beside(module, plan);
    }
}

impl Adapter {
    /// What it stands beside, as a plan calls it.
    pub fn target(&self) -> Option<LoraTarget> {
        target_of(self.beside.strip_suffix(WEIGHT)?)
    }
}

/// The kind of a projection of this name.
fn target_of(projection: &str) -> Option<LoraTarget> {
    let (module, name) = projection.rsplit_once('.')?;
    let experts = if module.ends_with(".experts.{expert}") { "experts." } else { "" };
    let is_named =
        |target: &LoraTarget| target.name().strip_prefix(experts).is_some_and(|rest| rest == name);
    LoraTarget::ALL.into_iter().find(is_named)
}

impl ParameterList {
    /// The projections of a model that may have adapters, in the order of [`LoraTarget::ALL`].
    pub fn possible_targets(plan: &ModelPlan) -> Vec<LoraTarget> {
        let lora = Some(LoraPlan::everywhere(1));
        let list = Self::new(&ModelPlan { lora, ..plan.clone() });
        let modules = list.layers.iter().flat_map(|layers| &layers.modules);
        let found: BTreeSet<LoraTarget> =
            modules.flat_map(|module| &module.adapters).filter_map(Adapter::target).collect();
        found.into_iter().collect()
    }
}

fn beside(module: &Module, plan: &LoraPlan) -> Vec<Adapter> {
    let adapter = |tensor: &Tensor| {
        let projection = tensor.name.strip_suffix(WEIGHT)?;
        target_of(projection).filter(|target| plan.targets.contains(target))?;
        let &[out, input] = &tensor.shape[..] else { return None };
        let row = |part: &str, shape: [usize; 2], initial| Tensor {
            name: format!("{projection}.{part}{WEIGHT}"),
            shape: shape.into(),
            role: Role::Factor,
            initial,
            ..tensor.clone()
        };
        let bound = (input as f64).sqrt().recip();
        Some(Adapter {
            beside: tensor.name.clone(),
            down: row("lora_A", [plan.rank, input], Initial::Uniform { bound }),
            up: row("lora_B", [out, plan.rank], Initial::Zeros),
        })
    };
    module.tensors.iter().filter_map(adapter).collect()
}
