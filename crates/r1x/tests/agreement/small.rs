//! The shipped experiments made so small that a run of them begins and ends in a moment.

/// A model and steps small enough for a moment.
const SMALL: [&str; 9] = [
    "model.hidden_size=16",
    "model.layers=1",
    "stages.cold-start.sft.limit=20",
    "stages.cold-start.sft.steps=1",
    "stages.cold-start.sft.batch_size=4",
    "stages.cold-start.sft.micro_batch_size=4",
    "stages.cold-start.sft.schedule.warmup_steps=0",
    "evals.heldout.limit=3",
    "seed=3",
];
pub const SMALL_GAME: [&str; 2] =
    ["data.countdown.countdown.train=80", "data.countdown.countdown.heldout=6"];
const SMALL_GRPO: [&str; 5] = [
    "stages.rl.grpo.skip=20",
    "stages.rl.grpo.steps=1",
    "stages.rl.grpo.prompts_per_step=3",
    "stages.rl.grpo.group_size=2",
    "stages.rl.grpo.micro_batch_size=4",
];
const SMALL_GRPO_SCHEDULE: &str = "stages.rl.grpo.schedule.warmup_steps=0";
const SMALL_SFT: [&str; 5] = [
    "stages.rl.sft.limit=20",
    "stages.rl.sft.steps=1",
    "stages.rl.sft.batch_size=4",
    "stages.rl.sft.micro_batch_size=4",
    "stages.rl.sft.schedule.warmup_steps=0",
];
/// Of a model that has learnt nothing, whatever ends by itself is kept.
const SMALL_REJECT: [&str; 5] = [
    "stages.harvest.reject.skip=20",
    "stages.harvest.reject.steps=1",
    "stages.harvest.reject.prompts_per_step=3",
    "stages.harvest.reject.samples=16",
    "stages.harvest.reject.keep={equation: 0, format: 0}",
];
const SMALL_AGAIN: [&str; 4] = [
    "stages.again.sft.steps=1",
    "stages.again.sft.batch_size=4",
    "stages.again.sft.micro_batch_size=4",
    "stages.again.sft.schedule.warmup_steps=0",
];
const SMALL_DISTILLATION: [&str; 16] = [
    "models.student.hidden_size=8",
    "stages.distilled.sft.steps=1",
    "stages.distilled.sft.batch_size=4",
    "stages.distilled.sft.micro_batch_size=4",
    "stages.distilled.sft.schedule.warmup_steps=0",
    "stages.student-cold-start.sft.steps=1",
    "stages.student-cold-start.sft.limit=20",
    "stages.student-cold-start.sft.batch_size=4",
    "stages.student-cold-start.sft.micro_batch_size=4",
    "stages.student-cold-start.sft.schedule.warmup_steps=0",
    "stages.student-rl.grpo.skip=20",
    "stages.student-rl.grpo.steps=1",
    "stages.student-rl.grpo.prompts_per_step=3",
    "stages.student-rl.grpo.group_size=2",
    "stages.student-rl.grpo.micro_batch_size=4",
    "stages.student-rl.grpo.schedule.warmup_steps=0",
];
const SHAPED: &str = "rewards.length.schedule.warmup_steps=0";

/// The settings that make an experiment small.
pub fn small(experiment: &str) -> Vec<String> {
    let mut set: Vec<&str> = SMALL.to_vec();
    if experiment == "countdown-sft-control.yaml" {
        set.extend(SMALL_SFT);
    } else {
        set.extend(SMALL_GRPO);
        set.push(SMALL_GRPO_SCHEDULE);
    }
    if experiment == "countdown-shaped.yaml" {
        set.push(SHAPED);
    }
    if experiment == "countdown-rejection.yaml" {
        set.extend(SMALL_REJECT.iter().chain(&SMALL_AGAIN));
    }
    if experiment == "countdown-distillation.yaml" {
        set.extend(SMALL_REJECT.iter().chain(&SMALL_DISTILLATION));
    }
    set.into_iter().map(str::to_owned).collect()
}
