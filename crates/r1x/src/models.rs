//! The models of a run as the training loop sees them: one at work, and others that take its place.

use std::collections::BTreeMap;
use std::path::Path;

use r1x_core::plan::{CriticPlan, InitialWeights, ModelPlan, RunPlan, TeacherPlan, WeightsFrom};
use r1x_core::port::{Boundary, Cursor, Models, PolicyWrapper, SavedCheckpoint, WeightChoice};
use r1x_core::rollout::Candidates;
use r1x_core::{CheckpointKind, Policy, PortError, TrainingBatch};
use r1x_model::published::Published;
use r1x_model::{CRITIC, Expected, Given, Home, Model, Place};
use r1x_ops::device::Device;
use r1x_store::{CheckpointCard, Store, StoreError};

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

/// The model of a stage with the weights that the stage has ended with, to be asked.
///
/// # Errors
/// When the run has no stage of the id, or its last checkpoint cannot be read.
pub fn ended(
    plan: &RunPlan,
    id: &str,
    (compute, device): (&Compute, &Device),
    home: &Home,
) -> Result<Box<dyn Model>, PortError> {
    let (model, name) = last_checkpoint(plan, id)?;
    let (folder, expected) = (home.folder.join(&name), home.expected(&name));
    let given = Given::Checkpoint { folder: &folder, expected: &expected, seed: plan.seed };
    wiring::answering(model, compute, device, given)
}

/// The model of a stage, and the name of the checkpoint that the stage has ended with.
fn last_checkpoint<'p>(plan: &'p RunPlan, id: &str) -> Result<(&'p ModelPlan, String), PortError> {
    let stage = plan.stages.iter().find(|stage| stage.id == id);
    let of = stage.and_then(|stage| Some((plan.model_of(stage).ok()?, stage.kind.outline())));
    let Some((model, outline)) = of else {
        let message = format!("the run has no stage `{id}`");
        return Err(PortError::new(Boundary::Spec, message, "name one of its `stages`"));
    };
    Ok((model, CheckpointKind::Stage.path(id, outline.steps)))
}

/// The checkpoints that the stages above a position have ended with, as the store of their run recorded them: the hashes of
/// their weights by name. Whoever reads one of them compares it.
///
/// # Errors
/// When the store cannot be read.
pub fn recorded_above(
    store: &Store,
    run: &str,
    stage: usize,
) -> Result<BTreeMap<String, String>, StoreError> {
    let is_end = |card: &CheckpointCard| {
        card.kind == CheckpointKind::Stage.as_str() && card.point().stage < stage
    };
    let cards = store.checkpoints(run)?.into_iter().filter(is_end);
    Ok(cards.map(|card| (card.path, card.sha256)).collect())
}

/// Compares what the further models of a run begin with, where it is in files, with what the plan says of it.
///
/// # Errors
/// When files are gone, or are not those of the plan.
pub fn check_further(plan: &RunPlan) -> Result<(), PortError> {
    for model in plan.models.values() {
        match &model.initial {
            InitialWeights::Random => {}
            InitialWeights::Published { folder, sha256 } => {
                Published::planned(folder, sha256)?;
            }
            InitialWeights::Checkpoint { folder, sha256 } => {
                let expected = Expected::with_weights(sha256);
                r1x_model::checkpoint::check(Path::new(folder), model, &expected)?;
            }
        }
    }
    Ok(())
}

/// The critic that a run needs to go on from a place: that of a stage under way.
fn critic_at<'p>(plan: &'p RunPlan, cursor: &Cursor) -> Option<&'p CriticPlan> {
    let outline = plan.stages.get(plan.stage_index(cursor)?)?.kind.outline();
    let under_way = 0 < cursor.step && cursor.step < outline.steps;
    outline.critic.filter(|_| under_way)
}

fn unknown_model(name: Option<&str>) -> PortError {
    let message = format!("the run has no model `{}`", name.unwrap_or_default());
    PortError::new(Boundary::Model, message, "`models` of the spec names them")
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
    /// The model that the one at work learns from.
    teacher: Option<(TeacherPlan, Box<dyn Model>)>,
    /// The model that learns beside the one at work.
    critic: Option<Box<dyn Model>>,
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
        let (home, name, teacher, critic) = (None, None, None, None);
        Ok(Self { plan, compute, device, home, name, at_work, teacher, critic })
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

    /// Puts the model of a checkpoint to work with everything that the checkpoint holds, the critic of a stage under way
    /// included, and returns where to go on.
    ///
    /// # Errors
    /// When files are missing, changed, of another shape, or not what is expected.
    pub fn load(&mut self, folder: &Path, expected: &Expected<'_>) -> Result<Place, PortError> {
        let model = name_in(self.plan, folder)?;
        self.put_to_work(model.as_deref())?;
        let place = self.at_work.load(folder, expected)?;
        self.critic = None;
        let critic = place.cursor.of(self.plan).and_then(|cursor| critic_at(self.plan, &cursor));
        if let Some(critic) = critic {
            let plan = self.model_called(Some(&critic.model))?;
            let mut model = wiring::model(plan, self.plan.seed, self.compute, self.device)?;
            let state_sha256 = place.critic_state_sha256.as_deref();
            let inside = Expected { weights_sha256: None, state_sha256, run: expected.run };
            model.load(&folder.join(CRITIC), &inside)?;
            self.critic = Some(model);
        }
        Ok(place)
    }
}

impl RunModels<'_> {
    fn model_called(&self, name: Option<&str>) -> Result<&ModelPlan, PortError> {
        self.plan.model_called(name).ok_or_else(|| unknown_model(name))
    }

    /// The critic of a stage that has just begun.
    fn new_critic(&self, critic: &CriticPlan) -> Result<Box<dyn Model>, PortError> {
        let plan = self.model_called(Some(&critic.model))?;
        let mut model = wiring::model(plan, self.plan.seed, self.compute, self.device)?;
        let WeightsFrom::Stage(id) = &critic.weights else { return Ok(model) };
        let home = self.home.clone().unwrap_or_default();
        let (maker, name) = last_checkpoint(self.plan, id)?;
        let (folder, expected) = (home.folder.join(&name), home.expected(&name));
        match maker.head == plan.head {
            true => model.load_weights(&folder, &expected)?,
            false => model.load_body(&folder, &expected)?,
        }
        Ok(model)
    }

    fn load_teacher(&self, teacher: &TeacherPlan) -> Result<Box<dyn Model>, PortError> {
        let model = self.model_called(teacher.model.as_deref())?;
        if let WeightsFrom::Stage(id) = &teacher.weights {
            let home = self.home.clone().unwrap_or_default();
            return ended(self.plan, id, (self.compute, self.device), &home);
        }
        match (&model.initial, &model.lora) {
            // Weights that only answer take a part of the memory of weights that learn.
            (InitialWeights::Published { folder, sha256 }, None) => {
                let published = Published::planned(folder, sha256)?;
                let given = Given::Published(&published);
                wiring::answering(model, self.compute, self.device, given)
            }
            _ => wiring::model(model, self.plan.seed, self.compute, self.device),
        }
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

    fn around_saving(&mut self, name: &str, cursor: &Cursor) -> Result<SavedCheckpoint, PortError> {
        let critic = self.critic.as_ref().filter(|_| critic_at(self.plan, cursor).is_some());
        let (Some(critic), Some(home)) = (critic, &self.home) else {
            return self.at_work.save(name, cursor);
        };
        let write = |inside: &Home| critic.write(inside, CRITIC, cursor, None);
        Ok(self.at_work.write(home, name, cursor, Some(&write))?)
    }
}

impl Models for RunModels<'_> {
    fn put_to_work(&mut self, model: Option<&str>) -> Result<(), PortError> {
        // A stage that learns with others asks for them.
        self.forget_others();
        if model == self.name.as_deref() {
            return Ok(());
        }
        let plan = self.model_called(model)?;
        let mut next = wiring::model(plan, self.plan.seed, self.compute, self.device)?;
        if let Some(home) = &self.home {
            next.keep_in(home.clone());
        }
        (self.at_work, self.name) = (next, model.map(str::to_owned));
        Ok(())
    }

    fn ask_teacher(
        &mut self,
        teacher: &TeacherPlan,
        batch: &TrainingBatch,
        width: usize,
    ) -> Result<Vec<Candidates>, PortError> {
        let found = match self.teacher.take().filter(|(known, _)| known == teacher) {
            Some(found) => found,
            None => (teacher.clone(), self.load_teacher(teacher)?),
        };
        let (_, model) = self.teacher.insert(found);
        model.most_likely(WeightChoice::Current, batch, width)
    }

    fn with_critic(
        &mut self,
        critic: &CriticPlan,
        work: &mut dyn FnMut(&mut dyn Policy) -> Result<(), PortError>,
    ) -> Result<(), PortError> {
        let model = match self.critic.take() {
            Some(model) => model,
            None => self.new_critic(critic)?,
        };
        work(self.critic.insert(model).as_mut())
    }

    fn forget_others(&mut self) {
        (self.teacher, self.critic) = (None, None);
    }
}
