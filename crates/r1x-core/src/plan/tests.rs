//! Every plan that can be made survives being written and read.
//!
//! Values are any that JSON has, whether or not a spec could ask for them.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::capability::Capability;
use crate::problem::Split;
use crate::testing;

fn text() -> impl Strategy<Value = String> {
    vec(any::<char>(), 0..6).prop_map(String::from_iter)
}

/// Any number that JSON has.
fn number() -> impl Strategy<Value = f64> {
    use proptest::num::f64::{NEGATIVE, NORMAL, POSITIVE, SUBNORMAL, ZERO};
    NORMAL | SUBNORMAL | ZERO | POSITIVE | NEGATIVE
}

fn split() -> impl Strategy<Value = Split> {
    prop_oneof![Just(Split::Train), Just(Split::Heldout)]
}

fn data_ref() -> impl Strategy<Value = DataRef> {
    (text(), split(), any::<usize>(), option::of(any::<usize>()), option::of(any::<u32>()))
        .prop_map(|(data, split, skip, limit, parts)| DataRef { data, split, skip, limit, parts })
}

fn attention() -> impl Strategy<Value = AttentionPlan> {
    let window = option::of((any::<usize>(), vec(any::<usize>(), 0..3)));
    let norm = prop_oneof![Just(QkNorm::None), Just(QkNorm::Head), Just(QkNorm::Whole)];
    let gqa = (any::<[usize; 4]>(), any::<[bool; 2]>(), option::of(number()), window, norm)
        .prop_map(|(sizes, [qkv_bias, output_bias], clip_qkv, window, qk_norm)| {
            let [heads, kv_heads, head_dim, rotary_dim] = sizes;
            let window = window.map(|(size, layers)| WindowPlan { size, layers });
            let biases =
                GqaPlan { qkv_bias, output_bias, ..GqaPlan::llama(heads, kv_heads, head_dim) };
            AttentionPlan::Gqa(GqaPlan { rotary_dim, clip_qkv, window, qk_norm, ..biases })
        });
    let parts = (any::<[usize; 5]>(), option::of(any::<usize>()), number(), any::<bool>());
    let mla = parts.prop_map(|(sizes, q_lora_rank, latent_norm_eps, bias)| {
        let [heads, kv_lora_rank, qk_nope_head_dim, qk_rope_head_dim, v_head_dim] = sizes;
        AttentionPlan::Mla(MlaPlan {
            heads,
            q_lora_rank,
            kv_lora_rank,
            qk_nope_head_dim,
            qk_rope_head_dim,
            v_head_dim,
            latent_norm_eps,
            bias,
        })
    });
    prop_oneof![gqa, mla]
}

fn feed_forward() -> impl Strategy<Value = FeedForwardPlan> {
    let dense = (any::<usize>(), any::<bool>())
        .prop_map(|(intermediate_size, bias)| FeedForwardPlan::Dense { intermediate_size, bias });
    let mixture = (any::<[usize; 2]>(), any::<bool>(), number()).prop_map(
        |([routed_experts, groups], normalize_affinities, balance_loss)| {
            let mut plan = testing::mixture();
            (plan.routed_experts, plan.groups) = (routed_experts, groups);
            (plan.normalize_affinities, plan.balance_loss) = (normalize_affinities, balance_loss);
            plan.scoring = if plan.groups > 3 { Scoring::Softmax } else { Scoring::Sigmoid };
            FeedForwardPlan::Moe(plan)
        },
    );
    prop_oneof![dense, mixture]
}

fn tokenizer() -> impl Strategy<Value = TokenizerPlan> {
    let pieces = vec(text(), 0..4).prop_map(|pieces| TokenizerPlan::Vocabulary { pieces });
    let chat = (text(), [option::of(text()), option::of(text())])
        .prop_map(|(template, [bos, eos])| ChatPlan { template, bos, eos });
    let file =
        ([text(), text()], vec(text(), 0..3), option::of(text()), option::of(chat)).prop_map(
            |([path, sha256], eos, bos, chat)| TokenizerPlan::File { path, sha256, eos, bos, chat },
        );
    prop_oneof![pieces, file]
}

fn scaling() -> impl Strategy<Value = RopeScaling> {
    let llama = ([number(), number(), number()], any::<usize>()).prop_map(|(factors, original)| {
        let [factor, low_freq_factor, high_freq_factor] = factors;
        RopeScaling::Llama3 {
            factor,
            low_freq_factor,
            high_freq_factor,
            original_context: original,
        }
    });
    let yarn =
        ([number(), number(), number()], [number(), number()], any::<usize>(), any::<bool>())
            .prop_map(|([factor, beta_fast, beta_slow], factors, original_context, truncate)| {
                let [rotation_factor, score_factor] = factors;
                RopeScaling::Yarn(YarnPlan {
                    factor,
                    original_context,
                    beta_fast,
                    beta_slow,
                    truncate,
                    rotation_factor,
                    score_factor,
                })
            });
    let linear = number().prop_map(|factor| RopeScaling::Linear { factor });
    prop_oneof![Just(RopeScaling::None), linear, llama, yarn]
}

fn model() -> impl Strategy<Value = ModelPlan> {
    (
        tokenizer(),
        attention(),
        feed_forward(),
        any::<[usize; 4]>(),
        any::<[bool; 2]>(),
        [number(), number(), number()],
        prop_oneof![Just(Precision::F32), Just(Precision::Bf16)],
        scaling(),
    )
        .prop_map(
            |(tokenizer, attention, feed_forward, sizes, flags, numbers, precision, scaling)| {
                let mut plan =
                    ModelPlan { tokenizer, attention, feed_forward, ..testing::tiny_model() };
                [plan.hidden_size, plan.layers, plan.context_length, plan.vocabulary_size] = sizes;
                [plan.tie_embeddings, plan.recompute_activations] = flags;
                [plan.rope.theta, plan.norm_eps, plan.init_std] = numbers;
                plan.rope.scaling = scaling;
                plan.precision = precision;
                plan.head = if flags[0] { HeadPlan::Vocabulary } else { HeadPlan::Value };
                let (depth, weight) = (plan.layers, plan.norm_eps);
                plan.mtp = (depth % 3 == 0).then_some(MtpPlan { depth, weight });
                if plan.layers.is_multiple_of(2) {
                    let (folder, sha256) = ("a".to_owned(), "00".to_owned());
                    plan.initial = match flags[1] {
                        true => InitialWeights::Published { folder, sha256 },
                        false => InitialWeights::Checkpoint { folder, sha256 },
                    };
                }
                plan
            },
        )
}

fn data() -> impl Strategy<Value = DataPlan> {
    let countdown = (any::<[u32; 2]>(), any::<u64>(), text()).prop_map(
        |([max_number, max_target], seed, operations)| {
            SourcePlan::Countdown(CountdownPlan {
                max_number,
                max_target,
                operations,
                trace: TraceStyle::Search,
                seed,
                ..testing::countdown()
            })
        },
    );
    let file = (
        [text(), text()],
        number(),
        option::of(vec(text(), 0..3)),
        btree_map(text(), text(), 0..3),
        [option::of(text()), option::of(text()), option::of(text()), option::of(text())],
        prop_oneof![Just(RowFormat::JsonLines), Just(RowFormat::Parquet)],
    )
        .prop_map(|([path, sha256], heldout, columns, renamed, texts, format)| {
            let [solution, rejected, answer, answer_after] = texts;
            SourcePlan::Rows {
                path,
                format,
                sha256,
                heldout,
                columns,
                renamed,
                solution,
                rejected,
                answer,
                answer_after,
            }
        });
    let messages = (option::of(text()), text(), option::of(text()))
        .prop_map(|(system, user, prefill)| MessagesPlan { system, user, prefill });
    let prompt =
        prop_oneof![text().prop_map(PromptPlan::Text), messages.prop_map(PromptPlan::Messages)];
    (prop_oneof![countdown, tiny(), file], prompt)
        .prop_map(|(source, prompt)| DataPlan { source, prompt })
}

/// The small tasks.
fn tiny() -> impl Strategy<Value = SourcePlan> {
    let language = prop_oneof![Just(Language::En), Just(Language::De)];
    let draw = (any::<[u8; 2]>(), vec(language, 0..3), any::<u64>()).prop_map(
        |([train, heldout], languages, seed)| DrawPlan {
            train: train.into(),
            heldout: heldout.into(),
            languages,
            seed,
        },
    );
    let tasks = [StringTask::Reverse, StringTask::Count, StringTask::Nth, StringTask::Sort];
    (draw, 0..3, any::<u32>(), any::<[u8; 2]>(), text(), number()).prop_map(
        move |(draw, kind, size, [low, high], operations, share)| match kind {
            0 => SourcePlan::Arithmetic(ArithmeticPlan {
                modulus: size,
                min_number: low.into(),
                max_number: high.into(),
                min_steps: low.into(),
                max_steps: high.into(),
                operations,
                mixed_thoughts: share,
                draw,
            }),
            1 => SourcePlan::Strings(StringsPlan {
                tasks: tasks[..usize::from(low) % 5].to_vec(),
                letters: size,
                min_length: low.into(),
                max_length: high.into(),
                mixed_thoughts: share,
                draw,
            }),
            _ => SourcePlan::Requests(RequestsPlan { refuse: share, flawed: share, draw }),
        },
    )
}

fn schedule() -> impl Strategy<Value = SchedulePlan> {
    let kind = prop_oneof![
        Just(ScheduleKind::Constant),
        Just(ScheduleKind::Linear),
        Just(ScheduleKind::Cosine)
    ];
    (kind, any::<u64>(), number()).prop_map(|(kind, warmup_steps, final_ratio)| SchedulePlan {
        kind,
        warmup_steps,
        final_ratio,
    })
}

fn bounds() -> impl Strategy<Value = Bounds> {
    [number(), number()].prop_map(|[low, high]| Bounds { low, high })
}

fn shaping() -> impl Strategy<Value = ShapingPlan> {
    let column = (text(), vec(text(), 0..3)).prop_map(|(name, values)| ColumnPlan { name, values });
    let applies = (option::of(vec(text(), 0..3)), option::of(column))
        .prop_map(|(data, column)| AppliesPlan { data, column });
    let otherwise = prop_oneof![Just(Otherwise::Zero), Just(Otherwise::Mask)];
    let condition = (text(), number(), otherwise)
        .prop_map(|(reward, at_least, otherwise)| ConditionPlan { reward, at_least, otherwise });
    let point = (any::<u64>(), number()).prop_map(|(step, weight)| WeightPoint { step, weight });
    let course = prop_oneof![
        schedule().prop_map(CoursePlan::Schedule),
        vec(point, 1..3).prop_map(CoursePlan::Points)
    ];
    (option::of(applies), option::of(bounds()), option::of(condition), option::of(course)).prop_map(
        |(applies, clip, condition, course)| ShapingPlan { applies, clip, condition, course },
    )
}

fn reward() -> impl Strategy<Value = RewardPlan> {
    let on_failure =
        prop_oneof![Just(OnFailure::Fail), Just(OnFailure::Mask), Just(OnFailure::Zero)];
    let grant = vec(proptest::sample::select(&Capability::ALL[..]), 0..3);
    (
        [text(), text(), text(), text()],
        [number(), number()],
        any::<[u64; 3]>(),
        option::of(any::<u64>()),
        on_failure,
        shaping(),
        grant,
    )
        .prop_map(|(texts, numbers, limits, fuel, on_failure, shaping, grant)| {
            let mut plan = RewardPlan { on_failure, shaping, ..testing::reward("") };
            let mut judge = PluginPlan { grant, ..testing::plugin() };
            [plan.id, judge.path, judge.sha256, judge.config] = texts;
            [plan.weight, plan.max_failed_share] = numbers;
            let allowed = &mut judge.limits;
            [allowed.time_ms, allowed.time_per_rollout_ms, allowed.memory_bytes] = limits;
            allowed.fuel = fuel;
            plan.judged_by = JudgedBy::Plugin(judge);
            plan
        })
}

fn sampling() -> impl Strategy<Value = SamplingPlan> {
    ([number(), number(), number()], any::<[usize; 2]>()).prop_map(|(numbers, sizes)| {
        let mut plan = testing::sampling(1);
        [plan.temperature, plan.top_p, plan.min_p] = numbers;
        [plan.top_k, plan.max_tokens] = sizes;
        plan
    })
}

fn optimizer() -> impl Strategy<Value = OptimizerPlan> {
    ([number(), number(), number()], [number(), number(), number()], schedule()).prop_map(
        |(first, second, schedule)| {
            let mut plan = OptimizerPlan { schedule, ..testing::optimizer(0.0) };
            [plan.lr, plan.beta1, plan.beta2] = first;
            [plan.eps, plan.weight_decay, plan.grad_clip] = second;
            plan
        },
    )
}

fn advantage() -> impl Strategy<Value = AdvantagePlan> {
    let kind = prop_oneof![
        Just(AdvantageKind::GroupNormalized),
        Just(AdvantageKind::GroupCentered),
        Just(AdvantageKind::LeaveOneOut),
        Just(AdvantageKind::BatchScaled),
        Just(AdvantageKind::BatchNormalized),
        Just(AdvantageKind::Gae)
    ];
    let order =
        prop_oneof![Just(CombineOrder::SumThenNormalize), Just(CombineOrder::NormalizeThenSum)];
    let combine = (order, any::<bool>(), option::of(bounds()))
        .prop_map(|(order, whiten, clip)| CombinePlan { order, whiten, clip });
    (kind, number(), combine).prop_map(|(kind, eps, combine)| AdvantagePlan { kind, eps, combine })
}

fn clip() -> impl Strategy<Value = ClipPlan> {
    let optional = || option::of(number());
    prop_oneof![
        (number(), number(), optional()).prop_map(|(low, high, max_ratio)| {
            ClipPlan::Pessimistic(RatioBounds { low, high, max_ratio })
        }),
        (optional(), number()).prop_map(|(low, high)| ClipPlan::Weight(WeightBounds { low, high })),
        (number(), number()).prop_map(|(tau_positive, tau_negative)| {
            ClipPlan::Sigmoid(SigmoidGate { tau_positive, tau_negative })
        }),
        (number(), number())
            .prop_map(|(low, high)| ClipPlan::Probability(ProbabilityBounds { low, high })),
    ]
}

fn grpo() -> impl Strategy<Value = StageKind> {
    let aggregation = prop_oneof![
        Just(Aggregation::SequenceMean),
        Just(Aggregation::TokenMean),
        Just(Aggregation::FixedLength)
    ];
    let estimator = prop_oneof![
        Just(KlEstimator::K1),
        Just(KlEstimator::K2),
        Just(KlEstimator::K3),
        Just(KlEstimator::K3Plus),
        Just(KlEstimator::K3Unbiased)
    ];
    let counted_in = prop_oneof![Just(KlPlace::Loss), Just(KlPlace::Reward)];
    let kl = (number(), counted_in, estimator, option::of(any::<u64>()), number()).prop_map(
        |(coef, counted_in, estimator, refresh_every, refresh_mix)| KlPlan {
            coef,
            counted_in,
            estimator,
            refresh_every,
            refresh_mix,
        },
    );
    let ratio = prop_oneof![
        Just(RatioLevel::Token),
        Just(RatioLevel::Sequence),
        Just(RatioLevel::SequenceToken),
        Just(RatioLevel::SequenceProduct)
    ];
    let numbers = (option::of(number()), number());
    let surrogate = (ratio, clip(), numbers, kl, aggregation).prop_map(
        |(ratio, clip, (max_divergence, entropy_coef), kl, aggregation)| SurrogatePlan {
            ratio,
            clip,
            max_divergence,
            kl,
            entropy_coef,
            aggregation,
        },
    );
    let loss = prop_oneof![Just(LossPlan::Likelihood), surrogate.prop_map(LossPlan::Surrogate)];
    (
        (vec(data_ref(), 1..3), vec(text(), 0..3), any::<u64>(), any::<[usize; 5]>()),
        (sampling(), optimizer(), advantage(), loss),
        any::<[bool; 3]>(),
    )
        .prop_map(|((data, rewards, steps, sizes), parts, flags)| {
            let mut plan = GrpoPlan { data, rewards, ..testing::grpo(steps) };
            let [prompts_per_step, group_size, epochs, updates_per_epoch, micro_batch_size] = sizes;
            (plan.prompts_per_step, plan.group_size) = (prompts_per_step, group_size);
            (plan.epochs, plan.updates_per_epoch) = (epochs, updates_per_epoch);
            plan.micro_batch_size = micro_batch_size;
            (plan.sampling, plan.optimizer, plan.advantage, plan.loss) = parts;
            let [drop, mask, share_prompts] = flags;
            plan.top_entropy_share = plan.advantage.eps;
            plan.zero_signal = if drop { ZeroSignal::Drop } else { ZeroSignal::Keep };
            plan.truncated = if mask { Truncated::Mask } else { Truncated::Keep };
            plan.share_prompts = share_prompts;
            plan.critic = mask.then(|| Box::new(critic(&plan)));
            StageKind::Grpo(plan)
        })
}

/// A critic with the numbers that a plan has drawn for other things.
fn critic(plan: &GrpoPlan) -> CriticPlan {
    let clip = Some(plan.advantage.eps).filter(|_| plan.share_prompts);
    CriticPlan {
        model: plan.rewards.concat(),
        weights: WeightsFrom::Stage(plan.rewards.concat()),
        gamma: plan.sampling.temperature,
        lambda: plan.sampling.top_p,
        whiten: plan.share_prompts,
        alone_steps: plan.steps,
        optimizer: plan.optimizer.clone(),
        loss: ValueLossPlan { clip },
    }
}

fn reject() -> impl Strategy<Value = StageKind> {
    let least = (text(), number()).prop_map(|(reward, at_least)| LeastPlan { reward, at_least });
    let filter = (
        any::<[bool; 2]>(),
        option::of(any::<usize>()),
        [option::of(number()), option::of(number())],
    );
    let filter =
        filter.prop_map(|([code, answers], longest_paragraph, [repetition, similarity])| {
            TextFilterPlan {
                drop_code_blocks: code,
                longest_paragraph,
                most_repetition: repetition,
                drop_same_answers: answers,
                most_similarity: similarity,
            }
        });
    let prefer =
        prop_oneof![Just(Preference::First), Just(Preference::Shortest), Just(Preference::Best)];
    (
        (vec(data_ref(), 1..3), vec(text(), 0..3), any::<u64>(), any::<[usize; 3]>()),
        (sampling(), vec(least, 0..3), filter, prefer),
    )
        .prop_map(|((data, rewards, steps, sizes), (sampling, keep, text, prefer))| {
            let [prompts_per_step, samples, per_prompt] = sizes;
            let pass_rate = PassRatePlan { at_least: sampling.min_p, at_most: sampling.top_p };
            StageKind::Reject(RejectPlan {
                data,
                rewards,
                steps,
                prompts_per_step,
                samples,
                sampling,
                keep,
                text,
                pass_rate,
                per_prompt,
                prefer,
            })
        })
}

fn distill() -> impl Strategy<Value = StageKind> {
    let divergence = prop_oneof![
        Just(DivergencePlan::ForwardKl),
        Just(DivergencePlan::ReverseKl),
        number().prop_map(|beta| DivergencePlan::JensenShannon { beta })
    ];
    let texts = option::of((any::<usize>(), sampling())).prop_map(|samples| match samples {
        None => DistilledTexts::Solutions,
        Some((per_problem, sampling)) => DistilledTexts::Samples { per_problem, sampling },
    });
    let weights = prop_oneof![Just(WeightsFrom::Base), text().prop_map(WeightsFrom::Stage)];
    let teacher = (option::of(text()), weights);
    let teacher = teacher.prop_map(|(model, weights)| TeacherPlan { model, weights });
    let numbers = (any::<u64>(), any::<[usize; 3]>(), number(), any::<bool>());
    let parts = (teacher, texts, divergence, vec(data_ref(), 1..3), optimizer());
    (parts, numbers).prop_map(|((teacher, texts, divergence, data, optimizer), numbers)| {
        let (steps, [batch_size, micro_batch_size, top], temperature, all) = numbers;
        let other_tokens = if all { OtherTokens::None } else { OtherTokens::OneOutcome };
        StageKind::Distill(DistillPlan {
            teacher,
            data,
            texts,
            steps,
            batch_size,
            micro_batch_size,
            optimizer,
            temperature,
            top,
            loss: DistillationPlan { divergence, other_tokens },
        })
    })
}

fn merge() -> impl Strategy<Value = StageKind> {
    let weights = prop_oneof![Just(WeightsFrom::Base), text().prop_map(WeightsFrom::Stage)];
    let part = (weights, number()).prop_map(|(weights, share)| MergePart { weights, share });
    vec(part, 2..4).prop_map(|parts| StageKind::Merge(MergePlan { parts }))
}

fn stage() -> impl Strategy<Value = StagePlan> {
    let sft = (vec(data_ref(), 1..3), any::<u64>(), any::<[usize; 2]>(), optimizer()).prop_map(
        |(data, steps, sizes, optimizer)| {
            let mut plan = SftPlan { data, optimizer, ..testing::sft(steps) };
            [plan.batch_size, plan.micro_batch_size] = sizes;
            StageKind::Sft(plan)
        },
    );
    let evaluate = vec(text(), 0..3).prop_map(|evals| StageKind::Evaluate(EvaluatePlan { evals }));
    let weights = prop_oneof![Just(WeightsFrom::Base), text().prop_map(WeightsFrom::Stage)];
    let kind = prop_oneof![sft, grpo(), reject(), distill(), merge(), evaluate];
    (text(), option::of(text()), weights, kind).prop_map(|(id, model, weights, kind)| StagePlan {
        id,
        model,
        weights,
        kind,
    })
}

fn eval() -> impl Strategy<Value = EvalPlan> {
    let when = (any::<[bool; 2]>(), option::of(any::<u64>()))
        .prop_map(|([start, stage_end], every)| EvalWhen { start, stage_end, every });
    (
        [text(), text()],
        (data_ref(), sampling(), when),
        number(),
        any::<usize>(),
        vec(any::<usize>(), 0..3),
        btree_map(text(), number(), 0..3),
    )
        .prop_map(|(texts, parts, threshold, samples, pass_at, gate)| {
            let mut plan = EvalPlan { threshold, samples, pass_at, gate, ..testing::eval("") };
            [plan.id, plan.grade] = texts;
            (plan.data, plan.sampling, plan.when) = parts;
            plan
        })
}

fn run() -> impl Strategy<Value = RunPlan> {
    let judge = ([text(), text()], model()).prop_map(|([checkpoint, sha256], model)| JudgePlan {
        checkpoint,
        sha256,
        model,
    });
    (
        (text(), any::<u64>(), vec(text(), 0..3)),
        (model(), btree_map(text(), data(), 0..3), btree_map(text(), judge, 0..2)),
        (vec(reward(), 0..3), vec(stage(), 0..4), vec(eval(), 0..2)),
        (any::<[bool; 3]>(), option::of(any::<u64>()), any::<usize>()),
    )
        .prop_map(
            |((name, seed, tags), (model, data, judges), lists, (flags, every, keep))| {
                let (rewards, stages, evals) = lists;
                let mut plan =
                    RunPlan { name, seed, tags, model, data, judges, ..testing::run(stages) };
                (plan.rewards, plan.evals) = (rewards, evals);
                [plan.record.text, plan.record.tokens, plan.record.logprobs] = flags;
                (plan.checkpoints.every, plan.checkpoints.keep) = (every, keep);
                plan
            },
        )
}

proptest! {
    #[test]
    fn a_plan_that_is_written_is_read_as_it_was(plan in run()) {
        let written = serde_json::to_string(&plan).unwrap();
        let read = RunPlan::from_json(&written, &|_| Err(String::new())).unwrap();
        prop_assert_eq!(&read, &plan);
        prop_assert_eq!(serde_json::to_string(&read).unwrap(), written);
    }
}
