//! The models of a run as the training loop sees them: one at work, and others that take its place.

use std::path::Path;

use r1x_core::PortError;
use r1x_core::plan::{ModelPlan, RunPlan};
use r1x_core::port::{Boundary, Models, PolicyWrapper};
use r1x_model::{Home, Model};
use r1x_ops::device::Device;

use crate::failure::Failure;
use crate::wiring::{self, Compute};

/// The name of the model whose numbers a checkpoint of a run holds. A checkpoint that says no place of the plan is taken
/// for one of the policy, and refused when it is read.
///
/// # Errors
/// When the folder is no checkpoint.
pub fn name_in(plan: &RunPlan, folder: &Path) -> Result<Option<String>, PortError> {
    let place = r1x_model::checkpoint::place(folder)?;
    let cursor = place.cursor.of(plan);
    let weights = cursor.and_then(|cursor| plan.weights_at(&cursor).ok());
    Ok(weights.and_then(|weights| weights.model))
}

/// The model whose numbers a checkpoint of a run holds.
///
/// # Errors
/// When the folder is no checkpoint.
pub fn of_checkpoint<'p>(plan: &'p RunPlan, folder: &Path) -> Result<&'p ModelPlan, PortError> {
    let name = name_in(plan, folder)?;
    Ok(plan.model_called(name.as_deref()).unwrap_or(&plan.model))
}

/// The models of a run on a device.
pub struct RunModels<'p> {
    plan: &'p RunPlan,
    compute: &'p Compute,
    device: &'p Device,
    /// Where their checkpoints go.
    home: Option<Home>,
    /// The name of the one at work; `None` for the policy.
    name: Option<String>,
    at_work: Box<dyn Model>,
}

impl<'p> RunModels<'p> {
    /// The models of a plan, with the policy at work.
    ///
    /// # Errors
    /// When the policy cannot be made on the device.
    pub fn new(
        plan: &'p RunPlan,
        compute: &'p Compute,
        device: &'p Device,
    ) -> Result<Self, Failure> {
        let at_work = wiring::model(&plan.model, plan.seed, compute, device)?;
        Ok(Self { plan, compute, device, home: None, name: None, at_work })
    }

    /// Says where checkpoints go from now on: a run gets its folder when it begins, and its models are there before.
    pub fn keep_in(&mut self, home: Home) {
        self.at_work.keep_in(home.clone());
        self.home = Some(home);
    }

    /// The model at work.
    pub fn at_work(&mut self) -> &mut dyn Model {
        self.at_work.as_mut()
    }
}

impl PolicyWrapper for RunModels<'_> {
    type Inner = dyn Model;

    fn inner(&self) -> &(dyn Model + 'static) {
        self.at_work.as_ref()
    }

    fn inner_mut(&mut self) -> &mut (dyn Model + 'static) {
        self.at_work.as_mut()
    }
}

impl Models for RunModels<'_> {
    fn put_to_work(&mut self, model: Option<&str>) -> Result<(), PortError> {
        if model == self.name.as_deref() {
            return Ok(());
        }
        let Some(plan) = self.plan.model_called(model) else {
            let message = format!("the run has no model `{}`", model.unwrap_or_default());
            let hint = "`models` of the spec names them";
            return Err(PortError::new(Boundary::Model, message, hint));
        };
        let mut next = wiring::model(plan, self.plan.seed, self.compute, self.device)?;
        if let Some(home) = &self.home {
            next.keep_in(home.clone());
        }
        (self.at_work, self.name) = (next, model.map(str::to_owned));
        Ok(())
    }
}
