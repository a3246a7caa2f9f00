//! What a plan costs: parameters exactly; tokens, arithmetic, memory and storage as upper bounds.
//!
//! Must not know how anything is computed, only how much of it there is.

use serde::Serialize;

use r1x_core::plan::{
    AttentionPlan, DataRef, EvalPlan, FeedForwardPlan, GrpoPlan, ModelPlan, Precision, RunPlan,
    SftPlan, SourcePlan, StageKind,
};
use r1x_core::problem::Split;

/// Bytes of a weight, a gradient, a moment or a log-prob.
const F32: u64 = 4;
/// Bytes of a stored token: its id, its log-prob and about four characters of text.
const STORED_TOKEN: u64 = 4 + F32 + 4;
/// Bytes of a stored rollout besides its tokens, and of one reward of it.
const STORED_ROLLOUT: u64 = 200;
const STORED_REWARD: u64 = 140;

/// One kind of tensor of the model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TensorShape {
    /// Its name, without the number of the layer or expert.
    pub name: &'static str,
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
    /// Trained parameters.
    pub total: u64,
    /// Trained parameters one token goes through.
    pub active: u64,
    /// Numbers that are not trained by the optimizer: the selection biases of experts.
    pub untrained: u64,
    /// What they are made of.
    pub tensors: Vec<TensorShape>,
}

impl Parameters {
    fn add(&mut self, name: &'static str, shape: &[usize], count: usize, active: usize) {
        self.push(name, shape, count as u64, active as u64, true);
    }

    fn push(
        &mut self,
        name: &'static str,
        shape: &[usize],
        count: u64,
        active: u64,
        trained: bool,
    ) {
        if count == 0 {
            return;
        }
        let shape: Vec<u64> = shape.iter().map(|side| *side as u64).collect();
        let size = shape.iter().fold(1u64, |product, side| product.saturating_mul(*side));
        if trained {
            self.total = self.total.saturating_add(size.saturating_mul(count));
            self.active = self.active.saturating_add(size.saturating_mul(active));
        } else {
            self.untrained = self.untrained.saturating_add(size.saturating_mul(count));
        }
        self.tensors.push(TensorShape { name, shape, count, active, trained });
    }
}

/// Counts the parameters of a model with a vocabulary of so many tokens.
pub fn parameters(model: &ModelPlan, vocabulary_size: usize) -> Parameters {
    let (hidden, layers) = (model.hidden_size, model.layers);
    let mut sum = Parameters::default();
    sum.add("embedding", &[vocabulary_size, hidden], 1, 1);
    sum.add("norm", &[hidden], 2 * layers, 2 * layers);
    attention_parameters(&mut sum, model);
    feed_forward_parameters(&mut sum, model);
    sum.add("final_norm", &[hidden], 1, 1);
    if !model.tie_embeddings {
        sum.add("head", &[vocabulary_size, hidden], 1, 1);
    }
    sum
}

fn attention_parameters(sum: &mut Parameters, model: &ModelPlan) {
    let (hidden, layers) = (model.hidden_size, model.layers);
    let mut each = |name, shape: &[usize]| sum.add(name, shape, layers, layers);
    match &model.attention {
        AttentionPlan::Gqa { heads, kv_heads, head_dim } => {
            each("q", &[heads * head_dim, hidden]);
            each("k", &[kv_heads * head_dim, hidden]);
            each("v", &[kv_heads * head_dim, hidden]);
            each("o", &[hidden, heads * head_dim]);
        }
        AttentionPlan::Mla {
            heads,
            q_lora_rank,
            kv_lora_rank,
            qk_nope_head_dim,
            qk_rope_head_dim,
            v_head_dim,
        } => {
            let query = heads * (qk_nope_head_dim + qk_rope_head_dim);
            match q_lora_rank {
                None => each("q", &[query, hidden]),
                Some(rank) => {
                    each("q_a", &[*rank, hidden]);
                    each("q_a_norm", &[*rank]);
                    each("q_b", &[query, *rank]);
                }
            }
            each("kv_a", &[kv_lora_rank + qk_rope_head_dim, hidden]);
            each("kv_a_norm", &[*kv_lora_rank]);
            each("kv_b", &[heads * (qk_nope_head_dim + v_head_dim), *kv_lora_rank]);
            each("o", &[hidden, heads * v_head_dim]);
        }
    }
}

fn feed_forward_parameters(sum: &mut Parameters, model: &ModelPlan) {
    let (hidden, layers) = (model.hidden_size, model.layers);
    match &model.feed_forward {
        FeedForwardPlan::Dense { intermediate_size } => {
            sum.add("swiglu", &[3, hidden, *intermediate_size], layers, layers);
        }
        FeedForwardPlan::Moe(moe) => {
            let dense = moe.dense_layers.min(layers);
            let sparse = layers - dense;
            let width = moe.expert_intermediate_size;
            sum.add("swiglu", &[3, hidden, moe.dense_intermediate_size], dense, dense);
            sum.add("gate", &[moe.routed_experts, hidden], sparse, sparse);
            sum.push("gate_bias", &[moe.routed_experts], sparse as u64, sparse as u64, false);
            let (experts, chosen) = (moe.routed_experts * sparse, moe.experts_per_token * sparse);
            sum.add("expert", &[3, hidden, width], experts, chosen);
            let shared = if moe.shared_experts == 0 { 0 } else { sparse };
            sum.add("shared_expert", &[3, hidden, width * moe.shared_experts], shared, shared);
        }
    }
}

/// What one stage or suite costs at most.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StageEstimate {
    /// Its id.
    pub id: String,
    /// `sft`, `grpo`, `evaluate`, or `eval` for a suite over all the times it runs.
    pub kind: &'static str,
    /// Optimizer updates.
    pub updates: u64,
    /// Completions sampled.
    pub completions: u64,
    /// Completion tokens sampled at most.
    pub generated_tokens: u64,
    /// Tokens that go through forward and backward at most.
    pub trained_tokens: u64,
    /// Floating-point operations at most.
    pub flops: f64,
}

/// What a plan costs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// The model's parameters.
    pub parameters: Parameters,
    /// Stages in order, then suites.
    pub stages: Vec<StageEstimate>,
    /// Floating-point operations of all of them at most.
    pub flops: f64,
    /// Peak memory for weights, gradients, moments, reference, activations and caches; rough.
    pub memory_bytes: u64,
    /// Bytes added to the store at most, before compression.
    pub store_bytes: u64,
    /// Bytes of the checkpoints that are kept.
    pub checkpoint_bytes: u64,
}

/// Estimates a plan. Prompts are as long as the context allows where `prompt_tokens` is not known; a suite over
/// data whose size is not known counts `limit` problems, or none.
pub fn estimate(plan: &RunPlan, vocabulary_size: usize, prompt_tokens: Option<u64>) -> Estimate {
    let cost = Cost::new(&plan.model, vocabulary_size, prompt_tokens);
    let mut stages: Vec<StageEstimate> = Vec::new();
    for stage in &plan.stages {
        stages.push(match &stage.kind {
            StageKind::Sft(sft) => cost.sft(&stage.id, sft),
            StageKind::Grpo(grpo) => cost.grpo(&stage.id, grpo),
            StageKind::Evaluate(_) => empty(&stage.id, "evaluate"),
        });
    }
    for eval in &plan.evals {
        stages.push(cost.eval(plan, eval));
    }
    let rewards_of = |id: &str| {
        plan.stages
            .iter()
            .find_map(|stage| match &stage.kind {
                StageKind::Grpo(grpo) if stage.id == id => Some(grpo.rewards.len() as u64),
                _ => None,
            })
            .unwrap_or(1)
    };
    let store_bytes = stages.iter().fold(0u64, |sum, stage| {
        let rollout = STORED_ROLLOUT + STORED_REWARD * rewards_of(&stage.id);
        sum.saturating_add(stage.completions.saturating_mul(rollout))
            .saturating_add(stage.generated_tokens.saturating_mul(STORED_TOKEN))
    });
    let flops = stages.iter().map(|stage| stage.flops).sum();
    Estimate {
        memory_bytes: cost.memory(plan),
        store_bytes,
        checkpoint_bytes: cost.checkpoints(plan),
        parameters: cost.parameters,
        stages,
        flops,
    }
}

fn empty(id: &str, kind: &'static str) -> StageEstimate {
    let id = id.to_owned();
    let (updates, completions, generated_tokens, trained_tokens) = (0, 0, 0, 0);
    StageEstimate { id, kind, updates, completions, generated_tokens, trained_tokens, flops: 0.0 }
}

/// Costs per token of one model.
struct Cost {
    parameters: Parameters,
    vocabulary_size: u64,
    hidden: u64,
    layers: u64,
    context: u64,
    prompt_tokens: Option<u64>,
    /// Numbers per layer and position that generation keeps.
    cached: u64,
    /// Numbers per layer and position that attention works on.
    attention_width: u64,
    /// Operations per layer for each position a token attends to.
    attended: u64,
    /// Heads.
    heads: u64,
    /// Inner widths of the feed-forward a token goes through.
    inner: u64,
    /// Parameters a token is multiplied with.
    multiplied: u64,
}

impl Cost {
    fn new(model: &ModelPlan, vocabulary_size: usize, prompt_tokens: Option<u64>) -> Self {
        let parameters = parameters(model, vocabulary_size);
        let (heads, cached, query_key, value) = match &model.attention {
            AttentionPlan::Gqa { heads, kv_heads, head_dim } => {
                (*heads, 2 * kv_heads * head_dim, *head_dim, *head_dim)
            }
            AttentionPlan::Mla {
                heads,
                kv_lora_rank,
                qk_nope_head_dim,
                qk_rope_head_dim,
                v_head_dim,
                ..
            } => {
                let cached = kv_lora_rank + qk_rope_head_dim;
                (*heads, cached, qk_nope_head_dim + qk_rope_head_dim, *v_head_dim)
            }
        };
        let inner = match &model.feed_forward {
            FeedForwardPlan::Dense { intermediate_size } => *intermediate_size,
            FeedForwardPlan::Moe(moe) => {
                let experts = moe.experts_per_token + moe.shared_experts;
                (experts * moe.expert_intermediate_size).max(moe.dense_intermediate_size)
            }
        };
        // A look-up in the embedding multiplies nothing; a tied head multiplies with the same matrix.
        let looked_up = if model.tie_embeddings { 0 } else { vocabulary_size * model.hidden_size };
        Self {
            multiplied: parameters.active.saturating_sub(looked_up as u64),
            parameters,
            vocabulary_size: vocabulary_size as u64,
            hidden: model.hidden_size as u64,
            layers: model.layers as u64,
            context: model.context_length as u64,
            prompt_tokens,
            cached: cached as u64,
            attention_width: (heads * (2 * query_key + 2 * value)) as u64,
            attended: 2 * (heads * (query_key + value)) as u64,
            heads: heads as u64,
            inner: inner as u64,
        }
    }

    /// Operations of one forward pass over `tokens` tokens in sequences of `length`: two per parameter, and
    /// for attention half of the positions on average.
    fn forward(&self, tokens: u64, length: u64) -> f64 {
        let attention = self.attended as f64 * self.layers as f64 * length as f64 / 2.0;
        tokens as f64 * (2.0 * self.multiplied as f64 + attention)
    }

    fn prompt(&self, max_tokens: usize) -> u64 {
        self.prompt_tokens.unwrap_or_else(|| self.context.saturating_sub(max_tokens as u64))
    }

    fn sft(&self, id: &str, sft: &SftPlan) -> StageEstimate {
        let sequences = sft.steps.saturating_mul(sft.batch_size as u64);
        let trained_tokens = sequences.saturating_mul(self.context);
        // Backward costs twice the forward.
        let flops = 3.0 * self.forward(trained_tokens, self.context);
        StageEstimate { updates: sft.steps, trained_tokens, flops, ..empty(id, "sft") }
    }

    fn grpo(&self, id: &str, grpo: &GrpoPlan) -> StageEstimate {
        let max_tokens = grpo.sampling.max_tokens as u64;
        let prompt = self.prompt(grpo.sampling.max_tokens);
        let length = prompt + max_tokens;
        let prompts = grpo.steps.saturating_mul(grpo.prompts_per_step as u64);
        let completions = prompts.saturating_mul(grpo.group_size as u64);
        let generated_tokens = completions.saturating_mul(max_tokens);
        let batch = completions.saturating_mul(length);
        let trained_tokens = batch.saturating_mul(grpo.epochs as u64);
        // A prompt is computed once for its group; the reference scores each batch once.
        let sampled = prompts.saturating_mul(prompt).saturating_add(generated_tokens);
        let sampling = self.forward(sampled, length);
        let reference = if grpo.kl.coef > 0.0 { self.forward(batch, length) } else { 0.0 };
        let updates = grpo.steps.saturating_mul((grpo.epochs * grpo.updates_per_epoch) as u64);
        let flops = sampling + reference + 3.0 * self.forward(trained_tokens, length);
        let id = id.to_owned();
        StageEstimate {
            id,
            kind: "grpo",
            updates,
            completions,
            generated_tokens,
            trained_tokens,
            flops,
        }
    }

    fn eval(&self, plan: &RunPlan, eval: &EvalPlan) -> StageEstimate {
        let runs = runs(plan, eval);
        let prompts = runs.saturating_mul(problems(plan, &eval.data));
        let max_tokens = eval.sampling.max_tokens as u64;
        let prompt = self.prompt(eval.sampling.max_tokens);
        let completions = prompts.saturating_mul(eval.samples as u64);
        let generated_tokens = completions.saturating_mul(max_tokens);
        let tokens = prompts.saturating_mul(prompt).saturating_add(generated_tokens);
        let flops = self.forward(tokens, prompt + max_tokens);
        StageEstimate { completions, generated_tokens, flops, ..empty(&eval.id, "eval") }
    }

    fn memory(&self, plan: &RunPlan) -> u64 {
        // What a factor of a product takes, in halves of a number.
        let factor = match plan.model.precision {
            Precision::F32 => 2,
            Precision::Bf16 => 1,
        };
        // In halves of a number: weights with the two forms that are packed, gradients and two moments.
        let weights = 2 + 2 * factor;
        let mut copies = weights + 6;
        let (mut micro_batch, mut sampled) = (1u64, 0u64);
        for stage in &plan.stages {
            match &stage.kind {
                StageKind::Sft(sft) => micro_batch = micro_batch.max(sft.micro_batch_size as u64),
                StageKind::Grpo(grpo) => {
                    micro_batch = micro_batch.max(grpo.micro_batch_size as u64);
                    sampled = sampled.max((grpo.prompts_per_step * grpo.group_size) as u64);
                    if grpo.kl.coef > 0.0 {
                        copies = 2 * weights + 6;
                    }
                }
                StageKind::Evaluate(_) => {}
            }
        }
        // Per layer: the residual stream about eight times, queries to values, gates and products of the
        // feed-forward, and the attention weights. At the end: logits and their gradient.
        let layer =
            8 * self.hidden + self.attention_width + 3 * self.inner + self.heads * self.context;
        let kept = if plan.model.recompute_activations { 1 } else { self.layers };
        let position = kept.saturating_mul(layer).saturating_add(2 * self.vocabulary_size);
        let activations = micro_batch.saturating_mul(self.context).saturating_mul(position);
        let caches = sampled
            .saturating_mul(self.context)
            .saturating_mul(self.layers)
            .saturating_mul(self.cached)
            .saturating_mul(factor)
            / 2;
        let weights = self.parameters.total.saturating_mul(copies) / 2;
        weights.saturating_add(activations).saturating_add(caches).saturating_mul(F32)
    }

    fn checkpoints(&self, plan: &RunPlan) -> u64 {
        let training = training_stages(plan);
        let periodic =
            if plan.checkpoints.every.is_some() { plan.checkpoints.keep as u64 } else { 0 };
        // Weights and two moments.
        let one = self.parameters.total.saturating_mul(3 * F32);
        one.saturating_mul(training.saturating_mul(1 + periodic))
    }
}

fn training_stages(plan: &RunPlan) -> u64 {
    let evaluates = |kind: &StageKind| matches!(kind, StageKind::Evaluate(_));
    plan.stages.iter().filter(|stage| !evaluates(&stage.kind)).count() as u64
}

/// How often a suite runs.
fn runs(plan: &RunPlan, eval: &EvalPlan) -> u64 {
    let mut runs = u64::from(eval.when.start);
    for stage in &plan.stages {
        let steps = match &stage.kind {
            StageKind::Sft(sft) => sft.steps,
            StageKind::Grpo(grpo) => grpo.steps,
            StageKind::Evaluate(evaluate) => {
                runs += u64::from(evaluate.evals.contains(&eval.id));
                continue;
            }
        };
        runs += u64::from(eval.when.stage_end);
        runs += eval.when.every.map_or(0, |every| steps / every.max(1));
    }
    runs
}

/// How many problems a reference means; 0 when only the data knows.
fn problems(plan: &RunPlan, data: &DataRef) -> u64 {
    let available = match plan.data.get(&data.data).map(|data| &data.source) {
        Some(SourcePlan::Countdown(countdown)) => Some(match data.split {
            Split::Train => countdown.train,
            Split::Heldout => countdown.heldout,
        }),
        _ => None,
    };
    let available = available.map(|available| available.saturating_sub(data.skip));
    let limited = match (available, data.limit) {
        (Some(available), Some(limit)) => available.min(limit),
        (available, limit) => limit.or(available).unwrap_or(0),
    };
    limited as u64
}
