//! What a plan costs: parameters exactly; tokens and arithmetic as they are likely and at most; memory and storage at
//! most.

use std::collections::BTreeMap;

use serde::Serialize;

use r1x_core::parameters::{Counted, ParameterList};
use r1x_core::plan::{
    AttentionPlan, DataRef, EvalPlan, GqaPlan, HeadPlan, Learning, MlaPlan, ModelPlan, Prompts,
    RecordPlan, Reference, Rollouts, RunPlan, StageOutline,
};
use r1x_core::problem::Split;

use crate::made_size::with_made;
use crate::memory::{Memory, memory};
use crate::parts::{Part, by_model};

/// Bytes of a weight, a gradient, a moment or a log-prob.
const F32: u64 = 4;
/// Bytes of a stored token: of its id, and of its text, which is about four characters.
const STORED_TOKEN_ID: u64 = 4;
const STORED_TOKEN_TEXT: u64 = 4;
/// Bytes of a stored rollout besides its tokens, with its share of the rows of its group and step, and of one reward of it
/// with some parts and a sentence; indices and what pages leave empty are in it.
const STORED_ROLLOUT: u64 = 130;
const STORED_REWARD: u64 = 100;

/// One kind of tensor of the model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TensorShape {
    /// Its name in checkpoints, with `{layer}` and `{expert}` where their numbers stand.
    pub name: String,
    /// Its shape.
    pub shape: Vec<u64>,
    /// How many there are.
    pub count: u64,
    /// How many of them one token goes through.
    pub active: u64,
    /// Whether the optimizer changes it.
    pub trained: bool,
}

/// The parameters of a model. A token counts the whole embedding and head as active.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Parameters {
    /// Parameters of the model itself, without biases that load balancing changes.
    pub total: u64,
    /// Parameters of the model itself that one token goes through.
    pub active: u64,
    /// Numbers that no optimizer changes: the selection biases of experts.
    pub untrained: u64,
    /// Parameters of adapters, which are trained in place of the others where there are any.
    pub adapters: u64,
    /// Parameters of adapters that one token goes through.
    pub active_adapters: u64,
    /// What they are made of.
    pub tensors: Vec<TensorShape>,
}

impl Parameters {
    /// Parameters that the optimizer changes.
    pub fn trained(&self) -> u64 {
        if self.adapters > 0 { self.adapters } else { self.total }
    }

    /// Parameters of the model itself that the optimizer never changes.
    pub fn fixed(&self) -> u64 {
        if self.adapters > 0 { self.total } else { 0 }
    }
}

/// Counts the parameters of a model.
pub fn parameters(model: &ModelPlan) -> Parameters {
    let list = ParameterList::new(model);
    let shape = |row: Counted<'_>, trained: bool| TensorShape {
        name: row.tensor.name.clone(),
        shape: row.tensor.shape.iter().map(|side| *side as u64).collect(),
        count: row.count,
        active: row.active,
        trained,
    };
    let is_trained = |row: &Counted<'_>| model.lora.is_none() && row.tensor.role.is_trained();
    let base = list.counted().map(|row| shape(row, is_trained(&row)));
    let adapters = list.counted_adapters().map(|row| shape(row, true));
    Parameters {
        total: list.total(),
        active: list.active(),
        untrained: list.untrained(),
        adapters: list.adapters(),
        active_adapters: list.active_adapters(),
        tensors: base.chain(adapters).collect(),
    }
}

/// What is known of a data set besides the plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DataSize {
    /// Problems to train on.
    pub train: usize,
    /// Problems to evaluate on.
    pub heldout: usize,
    /// Tokens of the longest prompt.
    pub longest_prompt: Option<u64>,
    /// Tokens of a prompt on average.
    pub prompt: Option<f64>,
    /// Tokens of a worked solution on average, with the end-of-sequence token; `None` without solutions.
    pub solution: Option<f64>,
    /// Tokens of the longest prompt with its worked solution; `None` without solutions.
    pub longest_example: Option<u64>,
    /// Bytes that the problems take in memory.
    pub bytes: u64,
}

/// Tokens and arithmetic of a stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Work {
    /// Completion tokens sampled.
    pub generated_tokens: f64,
    /// Tokens that go through forward and backward.
    pub trained_tokens: f64,
    /// Floating-point operations of sampling.
    pub sampling_flops: f64,
    /// Floating-point operations of training, with scores of a reference.
    pub training_flops: f64,
}

impl Work {
    /// The sum of both.
    fn with(self, more: Self) -> Self {
        Self {
            generated_tokens: self.generated_tokens + more.generated_tokens,
            trained_tokens: self.trained_tokens + more.trained_tokens,
            sampling_flops: self.sampling_flops + more.sampling_flops,
            training_flops: self.training_flops + more.training_flops,
        }
    }
}

/// What one stage or suite costs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StageEstimate {
    /// Its id.
    pub id: String,
    /// `sft`, `grpo`, `evaluate`, or `eval` for a suite over all the times it runs.
    pub kind: &'static str,
    /// Optimizer updates.
    pub updates: u64,
    /// Completions sampled, at least.
    pub completions: u64,
    /// Completions sampled, at most: a step may sample others in place of some that taught nothing.
    pub most_completions: u64,
    /// When prompts are as long as those of the data, and completions as the data's worked solutions; without
    /// solutions, as long as they may be. No problem is drawn in place of another.
    pub likely: Work,
    /// When every completion is as long as it may be, every sequence fills the context, and every step draws as many
    /// problems as it may.
    pub most: Work,
}

impl StageEstimate {
    /// The suite with what it costs for another model.
    fn with(self, more: Self) -> Self {
        Self {
            completions: self.completions.saturating_add(more.completions),
            most_completions: self.most_completions.saturating_add(more.most_completions),
            likely: self.likely.with(more.likely),
            most: self.most.with(more.most),
            ..self
        }
    }
}

/// What a plan costs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// The model's parameters.
    pub parameters: Parameters,
    /// Floating-point operations of a token that attends to nothing, forward.
    pub token_flops: f64,
    /// Stages in order, then suites.
    pub stages: Vec<StageEstimate>,
    /// Whether every completion's likely length is that of worked solutions.
    pub lengths_known: bool,
    /// Main memory at its peak, at most.
    pub memory_bytes: u64,
    /// What takes it.
    pub memory: Memory,
    /// Bytes added to the store at most, before compression.
    pub store_bytes: u64,
    /// Bytes of the checkpoints that are kept.
    pub checkpoint_bytes: u64,
}

/// Estimates a plan. Prompts are as long as the context allows where `sizes` has none of the data; a suite over
/// data whose size is not known counts `limit` problems, or none. Memory is counted for this many threads of a CPU.
pub fn estimate(plan: &RunPlan, sizes: &BTreeMap<String, DataSize>, threads: usize) -> Estimate {
    let sizes = &with_made(plan, sizes);
    let parts = by_model(plan);
    let costs: Vec<Cost<'_>> =
        parts.iter().map(|part| Cost::new(&part.plan.model, sizes)).collect();
    let mut stages: Vec<StageEstimate> = Vec::new();
    let mut sampled: Vec<&str> = Vec::new();
    for stage in &plan.stages {
        let outline = stage.kind.outline();
        if outline.rollouts.is_some() {
            sampled.extend(outline.data.iter().map(|data| data.data.as_str()));
        }
        let has_it = |(part, _): &(&Part, &Cost<'_>)| part.plan.stages.contains(stage);
        let Some((_, cost)) = parts.iter().zip(&costs).find(has_it) else { continue };
        let costs = StageEstimate { kind: stage.kind.as_str(), ..cost.stage(&stage.id, &outline) };
        let costs = with_teacher(plan, &outline, costs);
        stages.push(with_critic(plan, &outline, costs));
    }
    for eval in &plan.evals {
        sampled.push(&eval.data.data);
        let of_part = |(part, cost): (&Part, &Cost<'_>)| {
            let suite = part.plan.evals.iter().find(|suite| suite.id == eval.id)?;
            Some(cost.eval(&part.plan, suite))
        };
        let each = parts.iter().zip(&costs).filter_map(of_part);
        stages.push(each.fold(empty(&eval.id), StageEstimate::with));
    }
    let known = |id: &&str| sizes.get(*id).is_some_and(|size| size.solution.is_some());
    let memory = memory(plan, sizes, threads);
    Estimate {
        memory_bytes: memory.total(),
        memory,
        store_bytes: store_bytes(plan, &stages),
        checkpoint_bytes: parts
            .iter()
            .zip(&costs)
            .map(|(part, cost)| {
                let critics =
                    part.critics.iter().map(|one| Cost::new(&one.model, sizes).checkpoints(one));
                critics.fold(cost.checkpoints(&part.plan), u64::saturating_add)
            })
            .fold(0, u64::saturating_add),
        token_flops: costs.first().map_or(0.0, |cost| cost.forward(1.0, 0.0)),
        lengths_known: sampled.iter().all(known),
        parameters: parameters(&plan.model),
        stages,
    }
}

/// The costs of a stage with those of its teacher, which scores every token that is learnt.
fn with_teacher(
    plan: &RunPlan,
    outline: &StageOutline<'_>,
    mut costs: StageEstimate,
) -> StageEstimate {
    let teacher = outline.teacher.and_then(|one| plan.model_called(one.plan.model.as_deref()));
    let (Some(teacher), Some(learning)) = (teacher, outline.learning) else { return costs };
    let sequences = outline.steps.saturating_mul(learning.sequences_per_step as u64).max(1);
    for work in [&mut costs.likely, &mut costs.most] {
        let length = work.trained_tokens / sequences as f64;
        work.training_flops += forward_flops(teacher, work.trained_tokens, length);
    }
    costs
}

/// The costs of a stage with those of its critic, which says the value of every token once and learns as often as the policy.
fn with_critic(
    plan: &RunPlan,
    outline: &StageOutline<'_>,
    mut costs: StageEstimate,
) -> StageEstimate {
    let critic = outline.critic.and_then(|one| plan.model_called(Some(&one.model)));
    let (Some(critic), Some(learning)) = (critic, outline.learning) else { return costs };
    let unknown = BTreeMap::new();
    let cost = Cost::new(critic, &unknown);
    let passes = learning.epochs.max(1) as f64;
    let sequences = outline.steps.saturating_mul(learning.sequences_per_step as u64).max(1);
    for work in [&mut costs.likely, &mut costs.most] {
        let tokens = work.trained_tokens;
        let length = tokens / passes / sequences as f64;
        work.training_flops += cost.train(tokens, length) + cost.forward(tokens / passes, length);
    }
    costs
}

/// Floating-point operations of sampling or scoring `tokens` tokens in sequences of `length`.
pub fn forward_flops(model: &ModelPlan, tokens: f64, length: f64) -> f64 {
    Cost::new(model, &BTreeMap::new()).forward(tokens, length)
}

fn store_bytes(plan: &RunPlan, stages: &[StageEstimate]) -> u64 {
    // A suite is graded by one reward, as far as is known here.
    let rewards_of = |id: &str| {
        let stage = plan.stages.iter().find(|stage| stage.id == id);
        stage.map_or(1, |stage| stage.kind.outline().rewards.len() as u64)
    };
    stages.iter().fold(0u64, |sum, stage| {
        let rollout = STORED_ROLLOUT + STORED_REWARD * rewards_of(&stage.id);
        let tokens = stage.most.generated_tokens as u64;
        sum.saturating_add(stage.most_completions.saturating_mul(rollout))
            .saturating_add(tokens.saturating_mul(stored_token(plan, &stage.id)))
    })
}

/// Bytes of what is recorded of a token that a stage or a suite samples.
fn stored_token(plan: &RunPlan, id: &str) -> u64 {
    let RecordPlan { text, tokens, logprobs } = plan.record;
    // Stages record the entropy beside the log-prob, and the log-prob under the reference where there is one.
    let numbers = plan.stages.iter().find(|stage| stage.id == id).map_or(1, |stage| {
        let learning = stage.kind.outline().learning;
        2 + u64::from(learning.is_some_and(|learning| learning.reference != Reference::None))
    });
    u64::from(text) * STORED_TOKEN_TEXT
        + u64::from(tokens) * STORED_TOKEN_ID
        + u64::from(logprobs) * numbers * F32
}

/// What costs nothing, of the kind of suites.
fn empty(id: &str) -> StageEstimate {
    StageEstimate {
        id: id.to_owned(),
        kind: "eval",
        updates: 0,
        completions: 0,
        most_completions: 0,
        likely: Work::default(),
        most: Work::default(),
    }
}

/// Floating-point operations in a layer for each position that a token attends to.
pub(crate) fn attended(model: &ModelPlan) -> u64 {
    let (heads, query_key, value) = match &model.attention {
        AttentionPlan::Gqa(GqaPlan { heads, head_dim, .. }) => (*heads, *head_dim, *head_dim),
        AttentionPlan::Mla(MlaPlan {
            heads,
            qk_nope_head_dim,
            qk_rope_head_dim,
            v_head_dim,
            ..
        }) => (*heads, qk_nope_head_dim + qk_rope_head_dim, *v_head_dim),
    };
    2 * (heads * (query_key + value)) as u64
}

/// How many modules of multi-token prediction a supervised stage trains, and the parameters that they multiply a token
/// with: those of a further layer, of the projection, and of the output head once more.
fn further(model: &ModelPlan) -> (u64, u64) {
    let Some(mtp) = model.mtp.as_ref().filter(|mtp| mtp.weight > 0.0) else { return (0, 0) };
    let active = |layers: usize| {
        ParameterList::new(&ModelPlan { layers, mtp: None, ..model.clone() }).active()
    };
    let layers = active(model.layers + mtp.depth).saturating_sub(active(model.layers));
    let (depth, hidden) = (mtp.depth as u64, model.hidden_size as u64);
    let around = hidden.saturating_mul(2 * hidden + model.vocabulary_size as u64);
    (depth, layers.saturating_add(depth.saturating_mul(around)))
}

/// Costs per token of one model.
struct Cost<'a> {
    parameters: Parameters,
    layers: u64,
    context: u64,
    sizes: &'a BTreeMap<String, DataSize>,
    /// Operations per layer for each position a token attends to.
    attended: u64,
    /// Parameters a token is multiplied with.
    multiplied: u64,
    /// How many modules of multi-token prediction are trained, and the parameters that they multiply a token with.
    further: (u64, u64),
}

impl<'a> Cost<'a> {
    fn new(model: &ModelPlan, sizes: &'a BTreeMap<String, DataSize>) -> Self {
        let parameters = parameters(model);
        // A look-up in the embedding multiplies nothing; a tied head multiplies with the same matrix.
        let is_head = model.tie_embeddings && model.head == HeadPlan::Vocabulary;
        let looked_up = if is_head { 0 } else { model.vocabulary_size * model.hidden_size };
        Self {
            multiplied: parameters.active.saturating_sub(looked_up as u64),
            parameters,
            layers: model.layers as u64,
            context: model.context_length as u64,
            sizes,
            attended: attended(model),
            further: further(model),
        }
    }

    /// Operations of one forward pass over `tokens` tokens in sequences of `length`: two per parameter, and
    /// for attention half of the positions on average.
    fn forward(&self, tokens: f64, length: f64) -> f64 {
        let attention = self.attended as f64 * self.layers as f64 * length / 2.0;
        let multiplied = self.multiplied.saturating_add(self.parameters.active_adapters);
        tokens * (2.0 * multiplied as f64 + attention)
    }

    /// Operations of one forward pass of the modules of multi-token prediction.
    fn further(&self, tokens: f64, length: f64) -> f64 {
        let (modules, multiplied) = self.further;
        let attention = self.attended as f64 * modules as f64 * length / 2.0;
        tokens * (2.0 * multiplied as f64 + attention)
    }

    /// Backward costs twice the forward, and half of its products make the gradients of weights, which those of a model
    /// with adapters do not have.
    fn train(&self, tokens: f64, length: f64) -> f64 {
        let spared = if self.parameters.fixed() > 0 { self.multiplied as f64 } else { 0.0 };
        3.0 * self.forward(tokens, length) - tokens * 2.0 * spared
    }

    /// A mean over the data sets of the references, by their parts where they have any; `None` when one of them does not
    /// know it.
    fn mean<'r>(
        &self,
        references: impl Iterator<Item = &'r DataRef>,
        of: impl Fn(&DataSize) -> Option<f64>,
    ) -> Option<f64> {
        let (mut sum, mut count) = (0.0, 0.0);
        for reference in references {
            let parts = f64::from(reference.parts.unwrap_or(1));
            sum += parts * of(self.sizes.get(&reference.data)?)?;
            count += parts;
        }
        (count > 0.0).then(|| sum / count)
    }

    /// Tokens of prompt and completion: likely ones, then most.
    fn lengths(&self, references: &[&DataRef], max_tokens: usize) -> [(f64, f64); 2] {
        let over = || references.iter().copied();
        let most = max_tokens as f64;
        let room = self.context.saturating_sub(max_tokens as u64) as f64;
        let longest = references.iter().map(|reference| {
            let size = self.sizes.get(&reference.data);
            size.and_then(|size| size.longest_prompt).map_or(room, |tokens| tokens as f64)
        });
        let longest = longest.fold(0.0, f64::max);
        let prompt = self.mean(over(), |size| size.prompt).unwrap_or(longest);
        let solution = self.mean(over(), |size| size.solution);
        [(prompt, solution.map_or(most, |tokens| tokens.min(most))), (longest, most)]
    }

    fn stage(&self, id: &str, outline: &StageOutline<'_>) -> StageEstimate {
        let updates = |learning: Learning| learning.updates_per_step() as u64;
        let estimate = match (&outline.rollouts, outline.learning) {
            (Some(rollouts), learning) => self.rollouts(id, outline, rollouts, learning),
            (None, Some(learning)) => self.examples(id, outline, learning),
            (None, None) => empty(id),
        };
        let updates = outline.steps.saturating_mul(outline.learning.map_or(0, updates));
        StageEstimate { updates, ..estimate }
    }

    /// A stage that learns from texts that exist already.
    fn examples(&self, id: &str, outline: &StageOutline<'_>, learning: Learning) -> StageEstimate {
        let sequences = outline.steps.saturating_mul(learning.sequences_per_step as u64);
        let sequences = sequences as f64 * learning.epochs as f64;
        let whole = |size: &DataSize| Some(size.prompt? + size.solution?);
        let context = self.context as f64;
        let likely = self.mean(outline.data.iter().copied(), whole).unwrap_or(context).min(context);
        let [likely, most] = [likely, context].map(|length| {
            let trained_tokens = sequences * length;
            let further = 3.0 * self.further(trained_tokens, length);
            // What is compared with a reference, or with the other one of a pair, is scored before it is learnt from.
            let scored = f64::from(learning.scored_before) * self.forward(trained_tokens, length);
            let training_flops = self.train(trained_tokens, length) + further + scored;
            Work { trained_tokens, training_flops, ..Work::default() }
        });
        StageEstimate { likely, most, ..empty(id) }
    }

    /// A stage that samples, and perhaps learns from what it sampled.
    fn rollouts(
        &self,
        id: &str,
        outline: &StageOutline<'_>,
        rollouts: &Rollouts<'_>,
        learning: Option<Learning>,
    ) -> StageEstimate {
        let over_steps = |problems: usize| outline.steps.saturating_mul(problems as u64);
        let completions_of = |prompts: u64| prompts.saturating_mul(rollouts.per_problem as u64);
        // What is drawn in place of other problems is sampled, and no more is learnt from than there was to be.
        let planned = over_steps(outline.problems_per_step);
        let drawn = [planned, over_steps(outline.most_problems_per_step())];
        let work = |((prompt, completion), drawn): ((f64, f64), u64)| {
            let length = prompt + completion;
            let generated_tokens = completions_of(drawn) as f64 * completion;
            // Sampling computes a prompt once for its group.
            let once = |prompts: u64| {
                prompts as f64 * prompt + completions_of(prompts) as f64 * completion
            };
            let sampling_flops = self.forward(once(drawn), length);
            let Some(learning) = learning else {
                return Work { generated_tokens, sampling_flops, ..Work::default() };
            };
            let batch = match learning.prompts {
                Prompts::Shared => once(planned),
                Prompts::Repeated => completions_of(planned) as f64 * length,
            };
            let trained_tokens = batch * learning.epochs as f64;
            // The reference scores each batch once.
            let scored = match learning.reference {
                Reference::None => 0.0,
                Reference::Fixed | Reference::Refreshed | Reference::Following => {
                    self.forward(batch, length)
                }
            };
            let training_flops = self.train(trained_tokens, length) + scored;
            Work { generated_tokens, trained_tokens, sampling_flops, training_flops }
        };
        let [likely, most] = self.lengths(&outline.data, rollouts.sampling.max_tokens);
        let [likely, most] = [(likely, drawn[0]), (most, drawn[1])].map(work);
        let [completions, most_completions] = drawn.map(completions_of);
        StageEstimate { completions, most_completions, likely, most, ..empty(id) }
    }

    fn eval(&self, plan: &RunPlan, eval: &EvalPlan) -> StageEstimate {
        let runs = runs(plan, eval);
        let prompts = runs.saturating_mul(problems(plan, self.sizes, &eval.data));
        let completions = prompts.saturating_mul(eval.samples as u64);
        let work = |(prompt, completion): (f64, f64)| {
            let generated_tokens = completions as f64 * completion;
            let tokens = prompts as f64 * prompt + generated_tokens;
            let sampling_flops = self.forward(tokens, prompt + completion);
            Work { generated_tokens, sampling_flops, ..Work::default() }
        };
        let [likely, most] = self.lengths(&[&eval.data], eval.sampling.max_tokens).map(work);
        let most_completions = completions;
        StageEstimate { completions, most_completions, likely, most, ..empty(&eval.id) }
    }

    fn checkpoints(&self, plan: &RunPlan) -> u64 {
        let saving = saving_stages(plan);
        let periodic =
            if plan.checkpoints.every.is_some() { plan.checkpoints.keep as u64 } else { 0 };
        // Weights and two moments.
        let one = self.parameters.trained().saturating_mul(3 * F32);
        one.saturating_mul(saving.saturating_mul(1 + periodic))
    }
}

/// How many problems a reference means; without a size of the data, as the plan says, or none.
pub(crate) fn problems(plan: &RunPlan, sizes: &BTreeMap<String, DataSize>, data: &DataRef) -> u64 {
    let planned = plan.data.get(&data.data).and_then(|data| data.source.generated());
    let size = sizes.get(&data.data).map(|size| (size.train, size.heldout)).or(planned);
    let available = size.map(|(train, heldout)| match data.split {
        Split::Train => train,
        Split::Heldout => heldout,
    });
    let available = available.map(|available| available.saturating_sub(data.skip));
    let limited = match (available, data.limit) {
        (Some(available), Some(limit)) => available.min(limit),
        (available, limit) => limit.or(available).unwrap_or(0),
    };
    limited as u64
}

/// Stages that go in steps, between which the run is saved.
fn saving_stages(plan: &RunPlan) -> u64 {
    plan.stages.iter().filter(|stage| stage.kind.outline().steps > 0).count() as u64
}

/// How often a suite runs.
fn runs(plan: &RunPlan, eval: &EvalPlan) -> u64 {
    let mut runs = u64::from(eval.when.start);
    for stage in &plan.stages {
        let outline = stage.kind.outline();
        let StageOutline { steps, suites, .. } = outline;
        runs += u64::from(suites.contains(&eval.id));
        if !outline.is_evaluated() {
            continue;
        }
        let at_end = match eval.when.every {
            Some(every) => {
                runs += steps / every.max(1);
                // Due for both reasons, a suite runs once.
                steps == 0 || !steps.is_multiple_of(every.max(1))
            }
            None => true,
        };
        runs += u64::from(eval.when.stage_end && at_end);
    }
    runs
}
