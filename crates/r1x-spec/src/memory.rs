//! What a plan takes of main memory at its peak, and which key to lower when that is too much.
//!
//! Every buffer that grows with the plan is counted at the length it may reach: weights with the forms they are
//! packed in, a workspace for each thread, the keys and values of sequences that are decoded together, and the
//! rollouts of a step or a suite with their copies on the way to the store.

use std::collections::BTreeMap;

use serde::Serialize;

use r1x_core::plan::{
    AttentionPlan, EvalPlan, FeedForwardPlan, GqaPlan, Learning, MergePart, MlaPlan, ModelPlan,
    Precision, QkNorm, Reference, Rollouts, RunPlan, StageOutline, WeightsFrom,
};

use crate::estimate::{DataSize, Parameters, parameters, problems};
use crate::made_size::with_made;
use crate::parts::{Part, by_model};

/// Bytes of a weight, a gradient, a moment, a log-prob or a token.
const F32: u64 = 4;
/// The program, its libraries and the compiled plugins, bytes.
const PROGRAM: u64 = 80 << 20;
/// Sequences that one thread decodes together, and rows of prompts that it computes together.
const DECODED: u64 = 128;
const PREFILLED: u64 = 512;
/// Rows of logits that exist at a time.
const HEAD_ROWS: u64 = 64;
/// Positions of a page of keys and values.
const PAGE: u64 = 128;
/// Problems of a suite that are sampled together.
const SAMPLED_PROBLEMS: u64 = 256;
/// Bytes of a rollout besides its tokens, of one outcome of a reward, and of a token's text.
const ROLLOUT: u64 = 1600;
const OUTCOME: u64 = 1000;
const TEXT: u64 = 4;

/// Bytes of main memory by what takes them, at the moment when it takes most.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// The program with its plugins.
    pub program: u64,
    /// The problems.
    pub data: u64,
    /// Weights with their packed forms, the gradient, the moments, those of a critic, the reference, and the models of judges.
    pub weights: u64,
    /// What threads keep of the sequences they learn from, or the sum of weights that are averaged.
    pub activations: u64,
    /// Keys, values and workspaces of sequences that are decoded.
    pub caches: u64,
    /// Rollouts of a step or suite with their copies.
    pub rollouts: u64,
    /// A checkpoint while it is written.
    pub checkpoint: u64,
    /// The weights of another model of the run, which are there until those of the next one are.
    pub replaced: u64,
    /// The keys that decide about the largest part.
    pub lower: String,
}

impl Memory {
    /// The peak: rollouts are gone when a checkpoint is written, and nothing is computed when a model takes the place of
    /// another one.
    pub fn total(&self) -> u64 {
        let lasting = [self.program, self.data, self.weights];
        let passing = self.caches.saturating_add(self.rollouts).max(self.checkpoint);
        let passing = self.activations.saturating_add(passing).max(self.replaced);
        lasting.into_iter().fold(passing, u64::saturating_add)
    }
}

/// A product that stops at the largest number.
fn times(factors: &[u64]) -> u64 {
    factors.iter().fold(1, |product, factor| product.saturating_mul(*factor))
}

/// Counts the memory of a plan on the CPU with this many threads. Prompts are as long as the context allows where
/// `sizes` has none of the data.
pub fn memory(plan: &RunPlan, sizes: &BTreeMap<String, DataSize>, threads: usize) -> Memory {
    let sizes = &with_made(plan, sizes);
    let makers = plan.stages.iter().filter(|stage| stage.kind.outline().makes.is_some());
    let ids = plan.data.keys().chain(makers.map(|stage| &stage.id));
    let known = ids.filter_map(|id| sizes.get(id)).map(|size| size.bytes);
    let data = known.fold(0, u64::saturating_add);
    // One model is at work at a time. Judges are counted with each.
    let parts = by_model(plan).into_iter().map(|part| of_model(&part, sizes, data, threads));
    let mut parts: Vec<Memory> = parts.collect();
    let weights: Vec<u64> = parts.iter().map(|part| part.weights).collect();
    for (at, part) in parts.iter_mut().enumerate() {
        let others = weights.iter().enumerate().filter(|(other, _)| *other != at);
        part.replaced = others.map(|(_, weights)| *weights).max().unwrap_or(0);
    }
    parts.into_iter().max_by_key(Memory::total).unwrap_or_default()
}

/// The memory of a part that works on one model, in which the problems take `data` bytes.
fn of_model(part: &Part, sizes: &BTreeMap<String, DataSize>, data: u64, threads: usize) -> Memory {
    let Part { key, plan, asked, critics } = part;
    let of_model = parameters(&plan.model);
    let widths = Widths::new(&plan.model);
    let counting = Counting { plan, sizes, widths, threads: threads.max(1) as u64 };
    let (activations, learner) = counting.activations(&of_model);
    let (sampled, sampler) = counting.sampling();
    let judges = plan.judges.values().map(|judge| {
        let judged = parameters(&judge.model);
        let adapters = times(&[judged.adapters, F32 + 2 * factor(&judge.model)]);
        let passes = if judged.adapters > 0 { 2 } else { 1 };
        frozen(&judge.model, judged.total, passes).saturating_add(adapters)
    });
    let asked = asked.iter().map(|model| frozen(model, parameters(model).total, 1));
    // A critic is gone before the next stage begins.
    let critics = critics.iter().map(|plan| {
        let (of_critic, widths) = (parameters(&plan.model), Widths::new(&plan.model));
        let counting = Counting { plan, sizes, widths, threads: threads.max(1) as u64 };
        let weights = times(&[of_critic.trained(), learning_bytes(&plan.model)]);
        (weights, counting.activations(&of_critic).0)
    });
    let critic = critics.max_by_key(|(weights, kept)| weights.saturating_add(*kept));
    let (critic, kept) = critic.unwrap_or_default();
    let mut memory = Memory {
        program: PROGRAM,
        data,
        weights: judges
            .chain(asked)
            .chain([critic])
            .fold(counting.weights(&of_model), u64::saturating_add),
        activations: activations.saturating_add(kept).max(counting.averages(&of_model)),
        caches: sampled.caches,
        rollouts: sampled.rollouts,
        checkpoint: counting.checkpoint(&of_model),
        replaced: 0,
        lower: String::new(),
    };
    let parts = [
        (memory.weights.max(memory.checkpoint), format!("`{key}.hidden_size` or `{key}.layers`")),
        (memory.activations, learner),
        (memory.caches, format!("`--threads`, or `max_tokens` of {sampler}")),
        (memory.rollouts, format!("{} of {sampler}", sampled.key)),
        (memory.data, "the rows of the data".to_owned()),
    ];
    let largest = parts.into_iter().max_by_key(|(bytes, _)| *bytes);
    memory.lower = largest.map(|(_, keys)| keys).unwrap_or_default();
    memory
}

/// Bytes of each number that learns: the master with factors for both passes, the gradient and two moments.
fn learning_bytes(model: &ModelPlan) -> u64 {
    F32 + 2 * factor(model) + 3 * F32
}

/// Bytes of weights that are frozen: factors for so many passes, and the rows of the embedding where they are not looked up
/// in those.
fn frozen(model: &ModelPlan, parameters: u64, passes: u64) -> u64 {
    let embedding = times(&[model.vocabulary_size as u64, model.hidden_size as u64, F32]);
    times(&[parameters, passes, factor(model)]).saturating_add(embedding)
}

/// Bytes of a factor of a product.
fn factor(model: &ModelPlan) -> u64 {
    match model.precision {
        Precision::F32 => 4,
        Precision::Bf16 => 2,
    }
}

/// How many layers keep what the backward pass needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// All of them.
    InEveryLayer,
    /// The one that is being computed again.
    InOneLayer,
}

/// What learning keeps of a model's sequences.
pub(crate) fn activations(model: &ModelPlan) -> Widths {
    Widths::new(model)
}

/// Bytes that rows of the model take.
pub(crate) struct Widths {
    /// Of a row in every layer, for the backward pass.
    layer: u64,
    /// Of a row, whatever the number of layers.
    row: u64,
    /// Of a position of a sequence in every layer's cache.
    cached: u64,
    /// Of a row of logits.
    logits: u64,
    /// Of a row in the modules of multi-token prediction, and how many of them there are.
    further: (u64, u64),
    hidden: u64,
    layers: u64,
    kept: Kept,
    context: u64,
    vocabulary: u64,
}

impl Widths {
    /// Bytes that are kept of a token for the backward pass, with the input of every layer.
    pub(crate) fn token_bytes(&self, kept: Kept) -> u64 {
        let layers = match kept {
            Kept::InEveryLayer => self.layers,
            Kept::InOneLayer => 1,
        };
        times(&[layers, self.layer])
            .saturating_add(times(&[self.layers, F32, self.hidden]))
            .saturating_add(self.row)
    }

    /// Bytes that are kept of a token beside those, where modules of multi-token prediction are trained.
    pub(crate) fn module_bytes(&self) -> u64 {
        self.further.0
    }

    fn new(model: &ModelPlan) -> Self {
        let size = |count: usize| count as u64;
        let (e, hidden) = (factor(model), size(model.hidden_size));
        let (attention, cached, projected) = match &model.attention {
            AttentionPlan::Gqa(GqaPlan { heads, kv_heads, head_dim, qk_norm, .. }) => {
                let (query, keys) = (heads * head_dim, 2 * kv_heads * head_dim);
                // Norms need what they are given once more in the backward pass.
                let given = if *qk_norm == QkNorm::None { 0 } else { F32 * size(query + keys) };
                (e * size(2 * query + keys) + given, size(keys), size(query + keys))
            }
            AttentionPlan::Mla(MlaPlan {
                heads,
                q_lora_rank,
                kv_lora_rank: latent,
                qk_nope_head_dim: nope,
                qk_rope_head_dim: rope,
                v_head_dim: value,
                ..
            }) => {
                let query = heads * (nope + rope);
                let first = q_lora_rank.unwrap_or(query) + latent + rope;
                let inside = heads * (latent + rope) + heads * latent + latent + rope;
                let around = query + heads * value + q_lora_rank.unwrap_or(0);
                let kept = e * size(inside + around) + F32 * size(first);
                (kept, size(2 * latent + rope), size(first.max(query)))
            }
        };
        let (feed_forward, inner) = match &model.feed_forward {
            FeedForwardPlan::Dense { intermediate_size, .. } => {
                (3 * e * size(*intermediate_size), size(*intermediate_size))
            }
            FeedForwardPlan::Moe(moe) => {
                let (chosen, width) =
                    (size(moe.experts_per_token), size(moe.expert_intermediate_size));
                let shared = size(moe.shared_intermediate_size);
                let routed = chosen * (3 * e * width + (e + F32) * hidden);
                let scores = 3 * F32 * size(moe.routed_experts);
                let sparse = routed + 3 * e * shared + scores;
                let dense = 3 * e * size(moe.dense_intermediate_size);
                (
                    sparse.max(dense),
                    (chosen * width + shared).max(size(moe.dense_intermediate_size)),
                )
            }
        };
        let residual = (3 * F32 + 2 * e) * hidden;
        let layer = residual + attention + feed_forward;
        let row = 6 * F32 * hidden + 2 * F32 * projected + (F32 + 2 * e) * inner;
        // A module keeps its layer with its input, and the two halves that it projects before and after their norms.
        let module = layer + row + F32 * hidden + (7 * F32 + 2 * e) * hidden;
        let trained = model.mtp.as_ref().filter(|mtp| mtp.weight > 0.0);
        let modules = trained.map_or(0, |mtp| size(mtp.depth));
        Self {
            layer,
            row,
            further: (times(&[modules, module]), modules),
            cached: e * cached,
            logits: (F32 + e) * model.vocabulary_size as u64,
            hidden,
            layers: size(model.layers),
            kept: match model.recompute_activations {
                true => Kept::InOneLayer,
                false => Kept::InEveryLayer,
            },
            context: size(model.context_length),
            vocabulary: model.vocabulary_size as u64,
        }
    }
}

/// What sampling takes at its peak, and the key that decides about its rollouts.
#[derive(Default)]
struct Sampled {
    caches: u64,
    rollouts: u64,
    key: &'static str,
}

struct Counting<'a> {
    plan: &'a RunPlan,
    sizes: &'a BTreeMap<String, DataSize>,
    widths: Widths,
    threads: u64,
}

impl Counting<'_> {
    fn learning(&self) -> impl Iterator<Item = Learning> {
        self.plan.stages.iter().filter_map(|stage| stage.kind.outline().learning)
    }

    fn weights(&self, of_model: &Parameters) -> u64 {
        let model = &self.plan.model;
        let references = self.learning().map(|learning| match learning.reference {
            Reference::None => 0,
            Reference::Fixed => 1,
            // While a reference is made anew, the old one is still there.
            Reference::Refreshed | Reference::Following => 2,
        });
        let references = references.max().unwrap_or(0);
        let trained = times(&[of_model.trained(), learning_bytes(model)]);
        let frozen = match of_model.fixed() {
            0 => times(&[references, frozen(model, of_model.total, 1)]),
            // What adapters stand beside is there once, for both passes; a reference has adapters of its own.
            fixed => frozen(model, fixed, 2).saturating_add(times(&[
                of_model.adapters,
                references,
                F32 + 2 * factor(model),
            ])),
        };
        // The numbers of a moving average are beside what is multiplied.
        let follows = |learning: Learning| learning.reference == Reference::Following;
        let average = match self.learning().any(follows) {
            true => times(&[of_model.trained(), F32]),
            false => 0,
        };
        trained.saturating_add(frozen).saturating_add(average)
    }

    /// The bytes of a checkpoint and of the tensor that is being copied into it.
    fn checkpoint(&self, of_model: &Parameters) -> u64 {
        let has_reference = |learning: Learning| learning.reference != Reference::None;
        let references = u64::from(self.learning().any(has_reference));
        times(&[of_model.trained(), F32, 3 + references + 1])
    }

    /// The sum of weights that are averaged, and beside it the weights of the beginning where they are a part, or where
    /// adapters are merged into them.
    fn averages(&self, of_model: &Parameters) -> u64 {
        let copies = self.plan.stages.iter().map(|stage| match stage.kind.outline().merges {
            [] => 0,
            parts if parts.iter().any(|part| self.reads_a_beginning(part)) => 2,
            _ => 1,
        });
        times(&[of_model.trained(), F32, copies.max().unwrap_or(0)])
    }

    /// Whether a part of an average takes the weights that a model begins with.
    fn reads_a_beginning(&self, part: &MergePart) -> bool {
        let WeightsFrom::Stage(id) = &part.weights else { return true };
        let stage = self.plan.stages.iter().find(|stage| stage.id == *id);
        let model = stage.and_then(|stage| self.plan.model_of(stage).ok());
        model.is_some_and(|model| model.lora.is_some())
    }

    /// Workspaces of learning, and the keys that decide about them.
    fn activations(&self, of_model: &Parameters) -> (u64, String) {
        let widths = &self.widths;
        let row = widths.token_bytes(widths.kept);
        // Gradients of the embedding, of one layer and of the head, as they are handed over.
        let embedding = match of_model.adapters {
            0 => times(&[widths.vocabulary, widths.hidden]),
            _ => 0,
        };
        let plan = &self.plan.model;
        let without_mtp = match plan.mtp {
            None => of_model.trained(),
            Some(_) => parameters(&ModelPlan { mtp: None, ..plan.clone() }).trained(),
        };
        let modules = of_model.trained().saturating_sub(without_mtp);
        let layer = without_mtp.saturating_sub(embedding) / widths.layers.max(1);
        let parts = [embedding, embedding, layer, modules].into_iter().fold(0, u64::saturating_add);
        let gradients = times(&[F32, parts]);
        let head = times(&[HEAD_ROWS, widths.logits]);
        let stages = self.plan.stages.iter().filter_map(|stage| {
            let outline = stage.kind.outline();
            let learning = outline.learning?;
            let sequences = learning.sequences_per_update() as u64;
            let length = self.learned_length(&outline);
            // Supervised stages train the modules of multi-token prediction as well.
            let (further, modules) =
                if outline.rollouts.is_none() { widths.further } else { (0, 0) };
            let (row, head) = (row.saturating_add(further), times(&[1 + modules, head]));
            let micro_batch = (learning.micro_batch_size as u64).min(sequences).max(1);
            let busy = sequences.div_ceil(micro_batch).min(self.threads);
            let worker = times(&[micro_batch, length, row]).saturating_add(gradients);
            // What a teacher names, what the student says of it, and the derivatives, for a whole step.
            let named = outline.teacher.map_or(0, |teacher| teacher.named as u64);
            let named = times(&[sequences, length, named, 4 * F32]);
            let bytes = times(&[busy, worker.saturating_add(head)]).saturating_add(named);
            Some((bytes, format!("`stages.{}.{}.micro_batch_size`", stage.id, stage.kind.as_str())))
        });
        stages.max_by_key(|(bytes, _)| *bytes).unwrap_or_default()
    }

    /// Positions of the longest sequence that a stage learns from: a prompt with a completion, or with the worked
    /// solution that its data has.
    fn learned_length(&self, outline: &StageOutline<'_>) -> u64 {
        let ids = || outline.data.iter().map(|data| data.data.as_str());
        if let Some(rollouts) = &outline.rollouts {
            return self.length(ids(), rollouts.sampling.max_tokens);
        }
        let longest = ids().map(|id| self.sizes.get(id).and_then(|size| size.longest_example));
        let longest = longest.collect::<Option<Vec<u64>>>().and_then(|all| all.into_iter().max());
        longest.map_or(self.widths.context, |tokens| tokens.min(self.widths.context))
    }

    /// Positions of the longest prompt of some data sets with the longest completion.
    fn length<'d>(&self, data: impl Iterator<Item = &'d str>, max_tokens: usize) -> u64 {
        let longest = data.map(|id| self.sizes.get(id).and_then(|size| size.longest_prompt));
        let prompt = longest.collect::<Option<Vec<u64>>>().and_then(|all| all.into_iter().max());
        let room = self.widths.context.saturating_sub(max_tokens as u64);
        (prompt.unwrap_or(room).saturating_add(max_tokens as u64)).min(self.widths.context)
    }

    /// The stage or suite whose rollouts take most, and its name.
    fn sampling(&self) -> (Sampled, String) {
        let stages = self.plan.stages.iter().filter_map(|stage| {
            let outline = stage.kind.outline();
            let sampled = self.sampled_stage(&outline, outline.rollouts.as_ref()?);
            Some((sampled, format!("`stages.{}.{}`", stage.id, stage.kind.as_str())))
        });
        let suites = self
            .plan
            .evals
            .iter()
            .map(|eval| (self.sampled_eval(eval), format!("`evals.{}`", eval.id)));
        let most =
            |(sampled, _): &(Sampled, String)| sampled.caches.saturating_add(sampled.rollouts);
        stages.chain(suites).max_by_key(most).unwrap_or_default()
    }

    fn sampled_stage(&self, outline: &StageOutline<'_>, of: &Rollouts<'_>) -> Sampled {
        let of_problems = |problems: usize| times(&[problems as u64, of.per_problem as u64]);
        let rollouts = of_problems(outline.problems_per_step);
        let length =
            self.length(outline.data.iter().map(|data| &*data.data), of.sampling.max_tokens);
        let completion = of.sampling.max_tokens as u64;
        // Tokens, log-probs and entropies as they are drawn; tokens, masks and log-probs of three, twice, as they are
        // learnt from; tokens, log-probs and text, twice, as they are recorded.
        let drawn = 3 * F32 * completion;
        let learned = 2 * (F32 * length + (1 + 3 * F32) * completion);
        let recorded = 2 * (2 * F32 + TEXT) * completion;
        let outcomes = (OUTCOME * outline.rewards.len() as u64).saturating_add(ROLLOUT);
        let one = drawn + learned + recorded + outcomes;
        // What is sampled in place of other rollouts is recorded beside them, and those are not learnt from.
        let further = of_problems(outline.further_problems_per_step);
        let further = times(&[further, drawn + recorded + outcomes]);
        Sampled {
            caches: self.caches(rollouts, length),
            rollouts: times(&[rollouts, one]).saturating_add(further),
            key: outline.learning.map_or(
                "`prompts_per_step` or `samples`",
                |_| "`prompts_per_step` or `group_size`",
            ),
        }
    }

    fn sampled_eval(&self, eval: &EvalPlan) -> Sampled {
        let problems = problems(self.plan, self.sizes, &eval.data);
        let samples = times(&[problems, eval.samples as u64]);
        let together = times(&[problems.min(SAMPLED_PROBLEMS), eval.samples as u64]);
        let length = self.length(std::iter::once(&*eval.data.data), eval.sampling.max_tokens);
        let completion = eval.sampling.max_tokens as u64;
        let kept = 2 * F32 * completion + (2 * F32 + 2 * TEXT) * completion + ROLLOUT + OUTCOME;
        Sampled {
            caches: self.caches(together, length),
            rollouts: times(&[samples, kept]).saturating_add(times(&[together, F32, completion])),
            key: "`samples` or `limit`",
        }
    }

    /// Keys, values and workspaces while so many sequences of this length are decoded.
    fn caches(&self, sequences: u64, length: u64) -> u64 {
        let widths = &self.widths;
        let each = sequences.div_ceil(self.threads).clamp(1, DECODED);
        let busy = sequences.div_ceil(each).min(self.threads);
        let positions = length.div_ceil(PAGE).saturating_mul(PAGE);
        let cache = times(&[each, positions, widths.layers, widths.cached]);
        let rows = times(&[PREFILLED.max(each), widths.layer + widths.row]);
        let head = times(&[HEAD_ROWS, widths.logits]);
        times(&[busy, cache.saturating_add(rows).saturating_add(head)])
    }
}
