//! Work of known size for a model on the CPU, which says how fast a machine samples and learns.
//!
//! Two models stand for all: a small mixture of experts with latent attention, whose matrices are narrow, and a wide
//! dense one, whose products dominate.

use std::path::PathBuf;
use std::sync::Arc;

use r1x_core::loss::{Sft, UpdateCounts};
use r1x_core::plan::{
    AttentionPlan, FeedForwardPlan, GqaPlan, GroupScore, HeadPlan, InitialWeights, MlaPlan,
    ModelPlan, MoePlan, OptimizerPlan, Precision, RopePairs, RopePlan, SamplingPlan, ScheduleKind,
    SchedulePlan, Scoring, TokenizerPlan,
};
use r1x_core::port::GenerateRequest;
use r1x_core::{Completion, PortError, Rng, TrainingBatch, TrainingSequence};

use crate::model::{Model, on_cpu};

/// Tokens in the vocabulary of both models.
pub const VOCABULARY: usize = 96;
const PROMPT: usize = 8;
const COMPLETION: usize = 16;
const SAMPLES: usize = 8;

/// A model to measure with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// 128 wide, two layers, two of eight experts.
    Small,
    /// 512 wide, four layers, dense.
    Wide,
}

impl Shape {
    /// Both, the smaller one first.
    pub const ALL: [Self; 2] = [Self::Small, Self::Wide];

    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Wide => "wide",
        }
    }

    /// Its plan.
    pub fn plan(self, precision: Precision) -> ModelPlan {
        let pieces = (1..VOCABULARY).map(|piece| piece.to_string()).collect();
        let wide = ModelPlan {
            initial: InitialWeights::Random,
            tokenizer: TokenizerPlan::Vocabulary { pieces },
            vocabulary_size: VOCABULARY,
            hidden_size: 512,
            layers: 4,
            context_length: 64,
            attention: AttentionPlan::Gqa(GqaPlan::llama(8, 4, 64)),
            feed_forward: FeedForwardPlan::swiglu(1536),
            head: HeadPlan::Vocabulary,
            tie_embeddings: true,
            rope: RopePlan::unscaled(1e4, RopePairs::Halves),
            norm_eps: 1e-6,
            init_std: 0.02,
            precision,
            recompute_activations: false,
            lora: None,
            mtp: None,
        };
        match self {
            Self::Wide => wide,
            Self::Small => ModelPlan {
                hidden_size: 128,
                layers: 2,
                attention: AttentionPlan::Mla(MlaPlan {
                    heads: 4,
                    q_lora_rank: None,
                    kv_lora_rank: 32,
                    qk_nope_head_dim: 32,
                    qk_rope_head_dim: 16,
                    v_head_dim: 32,
                    latent_norm_eps: 1e-6,
                    bias: false,
                }),
                feed_forward: FeedForwardPlan::Moe(MoePlan {
                    routed_experts: 8,
                    shared_intermediate_size: 96,
                    shared_gated: false,
                    scoring: Scoring::Sigmoid,
                    selection_bias: true,
                    group_score: GroupScore::TopTwo,
                    experts_per_token: 2,
                    expert_intermediate_size: 96,
                    groups: 1,
                    groups_per_token: 1,
                    normalize_affinities: true,
                    routed_scaling: 1.0,
                    bias_update_speed: 0.001,
                    balance_loss: 0.0,
                    dense_layers: Vec::new(),
                    dense_intermediate_size: 96,
                }),
                rope: RopePlan::unscaled(1e4, RopePairs::Neighbours),
                ..wide
            },
        }
    }

    /// Groups sampled and learnt from at a time: enough that threads have work, and no more than a moment's.
    fn groups(self) -> usize {
        match self {
            Self::Small => 32,
            Self::Wide => 8,
        }
    }
}

/// What a round did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Done {
    /// Tokens that went through the model; a prompt counts once for its group.
    pub tokens: f64,
    /// Length of every sequence.
    pub length: f64,
}

/// A model with something to do.
pub struct ModelLoad {
    policy: Box<dyn Model + Send>,
    requests: Vec<GenerateRequest>,
    batch: TrainingBatch,
}

impl ModelLoad {
    /// Makes the model and its work for this many threads.
    ///
    /// # Errors
    /// When memory does not suffice.
    pub fn new(shape: Shape, precision: Precision, threads: usize) -> Result<Self, PortError> {
        let policy = on_cpu(&shape.plan(precision), 1, threads, PathBuf::new())?;
        let token = |index: usize| 1 + (index * 31 % (VOCABULARY - 1)) as u32;
        let request = |group: usize| GenerateRequest {
            prompt: (0..PROMPT).map(|place| token(group + place * 7)).collect(),
            samples: SAMPLES,
            address: group as u64,
            lengths: vec![COMPLETION; SAMPLES],
        };
        let requests: Vec<GenerateRequest> = (0..shape.groups()).map(request).collect();
        let mut load = Self { policy, requests, batch: empty() };
        let completions = load.completions()?;
        load.batch.sequences = sequences(&load.requests, completions);
        Ok(load)
    }

    fn completions(&self) -> Result<Vec<Vec<Completion>>, PortError> {
        let sampling = SamplingPlan {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            max_tokens: COMPLETION,
        };
        self.policy.generate(&self.requests, &sampling, Rng::new(1).stream("load"))
    }

    fn done(&self) -> Done {
        let group = PROMPT + SAMPLES * COMPLETION;
        let tokens = (self.requests.len() * group) as f64;
        Done { tokens, length: (PROMPT + COMPLETION) as f64 }
    }

    /// Samples every group once.
    ///
    /// # Errors
    /// Whatever stops the model from computing.
    pub fn sample(&self) -> Result<Done, PortError> {
        self.completions()?;
        Ok(self.done())
    }

    /// Makes an update from every group.
    ///
    /// # Errors
    /// Whatever stops the model from computing.
    pub fn train(&mut self) -> Result<Done, PortError> {
        let loss = Sft::new(&UpdateCounts::of(&self.batch.sequences, 0.0));
        self.policy.accumulate(&self.batch, &loss)?;
        // Weights that hardly move keep the work as it is.
        let schedule =
            SchedulePlan { kind: ScheduleKind::Constant, warmup_steps: 0, final_ratio: 1.0 };
        let optimizer = OptimizerPlan {
            lr: 1e-9,
            schedule,
            beta1: 0.9,
            beta2: 0.95,
            eps: 1e-8,
            weight_decay: 0.0,
            grad_clip: 1.0,
        };
        self.policy.update(&optimizer, optimizer.lr)?;
        Ok(self.done())
    }
}

fn empty() -> TrainingBatch {
    TrainingBatch {
        sequences: Vec::new(),
        micro_batch_size: 16,
        temperature: 1.0,
        share_prompts: true,
    }
}

fn sequences(
    requests: &[GenerateRequest],
    completions: Vec<Vec<Completion>>,
) -> Vec<Arc<TrainingSequence>> {
    let mut sequences = Vec::new();
    for (request, completions) in requests.iter().zip(completions) {
        let sequence = |one: Completion| TrainingSequence::new(&request.prompt, &one.tokens);
        sequences.extend(completions.into_iter().map(sequence).map(Arc::new));
    }
    sequences
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_as_long_as_it_says() {
        let mut load = ModelLoad::new(Shape::Small, Precision::F32, 1).unwrap();
        let sampled: usize =
            load.completions().unwrap().iter().flatten().map(|c| c.tokens.len()).sum();
        assert_eq!(sampled, 32 * 8 * 16);
        let expected = Done { tokens: 32.0 * (8.0 + 8.0 * 16.0), length: 24.0 };
        assert_eq!(load.sample().unwrap(), expected);
        assert_eq!(load.train().unwrap(), expected);
    }
}
