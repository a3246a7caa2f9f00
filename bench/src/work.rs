//! How much a workload has to compute and to read, from the plan: what no implementation can leave out.
//!
//! A multiplication and an addition are two operations; norms, rotary positions, activations and sampling are not
//! counted. A prompt counts once for all samples of its group.

use r1x_core::parameters::{ParameterList, Role, TensorKind};
use r1x_core::plan::{AttentionPlan, GqaPlan, MlaPlan, ModelPlan};

use crate::shape::Precision;

/// What has to be done.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Work {
    /// Floating-point operations.
    pub flops: f64,
    /// Bytes read from memory that is larger than the first caches.
    pub bytes: f64,
}

impl std::ops::Add for Work {
    type Output = Work;

    fn add(self, other: Work) -> Work {
        Work { flops: self.flops + other.flops, bytes: self.bytes + other.bytes }
    }
}

/// What a token of a model costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// Weights a token is multiplied with, the head's left out.
    pub layers: f64,
    /// Weights of the head.
    pub head: f64,
    /// All weights of all matrices.
    pub stored: f64,
    /// Operations for each position a token attends to, over all layers.
    pub attended: f64,
    /// Numbers cached for each position, over all layers.
    pub cached: f64,
    /// Bytes of a weight or of a cached number.
    pub bytes: f64,
}

impl Cost {
    /// The costs of a planned model.
    pub fn new(plan: &ModelPlan, precision: Precision) -> Self {
        let head = (plan.vocabulary_size * plan.hidden_size) as f64;
        let (mut active, mut stored) = (0.0, 0.0);
        for row in ParameterList::new(plan).counted() {
            let tensor = row.tensor;
            // A look-up in the embedding multiplies nothing; the head is counted apart.
            let multiplies = matches!(tensor.role, Role::Factor | Role::ExactFactor);
            if !multiplies || tensor.kind == TensorKind::Head {
                continue;
            }
            active += tensor.size() as f64 * row.active as f64;
            stored += tensor.size() as f64 * row.count as f64;
        }
        let (attended, cached) = match &plan.attention {
            AttentionPlan::Gqa(GqaPlan { heads, kv_heads, head_dim, .. }) => {
                (4 * heads * head_dim, 2 * kv_heads * head_dim)
            }
            // Absorbed: scores against latent and rotary part, values as latents.
            AttentionPlan::Mla(MlaPlan { heads, kv_lora_rank, qk_rope_head_dim, .. }) => {
                let latent = kv_lora_rank + qk_rope_head_dim;
                (2 * heads * (latent + kv_lora_rank), latent)
            }
        };
        let layers = plan.layers as f64;
        Self {
            layers: active,
            head,
            stored: stored + head,
            attended: attended as f64 * layers,
            cached: cached as f64 * layers,
            bytes: precision.bytes(),
        }
    }

    /// A prompt, and the logits after it.
    pub fn prefill(&self, prompt: usize) -> Work {
        let flops = self.rows(0, prompt) + 2.0 * self.head;
        Work { flops, bytes: self.stored * self.bytes }
    }

    /// The tokens of one sample after its first, which the prompt's logits give.
    pub fn decode(&self, prompt: usize, length: usize) -> Work {
        let tokens = length.saturating_sub(1);
        let flops = self.rows(prompt, tokens) + 2.0 * self.head * tokens as f64;
        Work { flops, bytes: 0.0 }
    }

    /// What `steps` decoding steps read: weights once for the whole batch, and the cache of `positions`.
    pub fn decode_bytes(&self, steps: usize, positions: usize) -> f64 {
        (self.stored + self.cached * positions as f64) * self.bytes * steps as f64
    }

    /// Forward and backward over a sequence whose tokens after `prompt` are learnt.
    pub fn train(&self, prompt: usize, length: usize) -> Work {
        let rows = length.saturating_sub(1);
        let learnt = length.saturating_sub(prompt) as f64;
        let flops = 3.0 * (self.rows(0, rows) + 2.0 * self.head * learnt);
        Work { flops, bytes: 0.0 }
    }

    /// The work over a group of completions that share their prompt, which is computed once.
    pub fn train_group(&self, prompt: usize, lengths: &[usize]) -> Work {
        // The last row of the prompt predicts the first token of every completion.
        let shared = self.rows(0, prompt);
        let own = lengths.iter().map(|length| {
            self.rows(prompt, length.saturating_sub(1)) + 2.0 * self.head * *length as f64
        });
        Work { flops: 3.0 * (shared + own.sum::<f64>()), bytes: 0.0 }
    }

    /// Operations of `count` rows of the layers at positions from `first`; a row attends to itself too.
    fn rows(&self, first: usize, count: usize) -> f64 {
        let (first, count) = (first as f64, count as f64);
        let attended = count * first + count * (count + 1.0) / 2.0;
        2.0 * self.layers * count + self.attended * attended
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::{BIG, BIG_MOE, QWEN, SMALL, SMALL_MOE, SMOLLM2, Shape, plan};

    fn cost(shape: &Shape) -> Cost {
        Cost::new(&plan(shape, 256, Precision::F32), Precision::F32)
    }

    /// Millions of operations for each of `tokens`.
    fn millions(work: Work, tokens: usize) -> f64 {
        (work.flops / tokens as f64 / 1e5).round() / 10.0
    }

    /// `small`: a layer has 256·(256 + 128 + 128 + 256) + 3·256·768 = 786 432 weights, the head 131 072;
    /// attention costs 4·4·64·4 = 4 096 for each position. 128 tokens after 32 attend to 96.5 on average.
    #[test]
    fn dense_models_cost_what_is_computed_by_hand() {
        let small = cost(&SMALL);
        assert_eq!(small.layers, 4.0 * 786_432.0);
        assert_eq!((small.head, small.attended, small.cached), (131_072.0, 4096.0, 1024.0));
        assert_eq!(small.stored, 3_276_800.0);
        let token = 2.0 * 3_276_800.0 + 4096.0 * 96.0;
        assert_eq!(small.decode(32, 128).flops, 127.0 * token);
        assert_eq!(millions(small.decode(32, 128), 127), 6.9);
        assert_eq!(millions(small.train(1, 161), 160), 20.6);
        let prompt = 32.0 * 2.0 * 3_145_728.0 + 4096.0 * 16.5 * 32.0 + 2.0 * 131_072.0;
        assert_eq!(small.prefill(32).flops, prompt);
        // 512·(512 + 256 + 256 + 512) + 3·512·1536 weights in each of 8 layers, a head of 512·8192.
        let big = cost(&BIG);
        assert_eq!(big.layers, 8.0 * 3_145_728.0);
        assert_eq!(millions(big.decode(32, 128), 127), 60.3);
        assert_eq!(millions(big.train(1, 161), 160), 180.1);
    }

    /// `smollm2` has the 134 515 008 parameters of the published model but for its 61 gains of 576.
    #[test]
    fn published_shapes_are_those_that_were_published() {
        let smollm2 = cost(&SMOLLM2);
        assert_eq!(smollm2.stored, 134_515_008.0 - 61.0 * 576.0);
        // Qwen2.5-0.5B has 494 032 768, of which 49 gains of 896 and 24 times 896 + 2 * 128 biases.
        let qwen = cost(&QWEN);
        assert_eq!(qwen.stored, 494_032_768.0 - 49.0 * 896.0 - 24.0 * 1152.0);
    }

    /// `small-moe`: q 256·256, to latents 256·80, from latents 64·4·112, out 256·256; the router 8·256, and
    /// three experts of 3·256·256.
    #[test]
    fn mixtures_go_through_as_many_weights_as_their_dense_models() {
        let moe = cost(&SMALL_MOE);
        let attention = 65_536.0 + 20_480.0 + 28_672.0 + 65_536.0;
        assert_eq!(moe.layers, 4.0 * (attention + 2048.0 + 3.0 * 196_608.0));
        assert_eq!(moe.stored, 4.0 * (attention + 2048.0 + 9.0 * 196_608.0) + 131_072.0);
        // Scores against 80 numbers and values of 64 for each of 4 heads.
        assert_eq!((moe.attended, moe.cached), (4.0 * 1152.0, 4.0 * 80.0));
        for (dense, moe) in [(cost(&SMALL), moe), (cost(&BIG), cost(&BIG_MOE))] {
            assert!((moe.layers / dense.layers - 1.0).abs() < 0.03, "{moe:?} {dense:?}");
        }
    }

    #[test]
    fn a_group_of_one_costs_what_a_sequence_costs() {
        let small = cost(&SMALL);
        assert_eq!(small.train_group(32, &[128]), small.train(32, 160));
        let eight = small.train_group(32, &[128; 8]).flops;
        let saved = 8.0 * small.train(32, 160).flops - eight;
        assert_eq!(saved, 7.0 * 3.0 * small.rows(0, 32));
    }

    #[test]
    fn decoding_reads_the_weights_once_a_step() {
        let small = cost(&SMALL);
        assert_eq!(small.decode_bytes(10, 0), 10.0 * 4.0 * 3_276_800.0);
        assert_eq!(small.decode_bytes(1, 100) - small.decode_bytes(1, 0), 4.0 * 1024.0 * 100.0);
    }
}
