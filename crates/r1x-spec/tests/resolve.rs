//! What specs become: defaults, provenance, `extends`, `--set`, and plans that survive JSON.
//!
//! Must not check messages; `mistakes.rs` does.

#[path = "resolve/algorithm.rs"]
mod algorithm;
mod common;
#[path = "resolve/draws.rs"]
mod draws;
#[path = "resolve/unused.rs"]
mod unused;

use common::{SPEC, World, experiment, render};
use r1x_core::plan::*;
use r1x_core::problem::Split;
use r1x_core::testing;
use r1x_spec::{Origin, Resolved, Style, plan_yaml, render_warnings};

fn shipped(name: &str, overrides: &[&str]) -> Resolved {
    let path = format!("experiments/{name}.yaml");
    match World::new().resolve_file(&path, overrides) {
        Ok(resolved) => resolved,
        Err(report) => panic!("{}", render(&report)),
    }
}

fn with(text: &str, overrides: &[&str]) -> Resolved {
    match World::new().with(SPEC, text).resolve(overrides) {
        Ok(resolved) => resolved,
        Err(report) => panic!("{}", render(&report)),
    }
}

fn surrogate(grpo: &GrpoPlan) -> &SurrogatePlan {
    match &grpo.loss {
        LossPlan::Surrogate(plan) => plan,
        other => panic!("a surrogate, not {other:?}"),
    }
}

fn grpo(resolved: &Resolved) -> &GrpoPlan {
    match &resolved.plan.stages[1].kind {
        StageKind::Grpo(grpo) => grpo,
        other => panic!("the second stage is {}", other.as_str()),
    }
}

fn origin(resolved: &Resolved, path: &str) -> (String, String) {
    let setting = resolved.settings.iter().find(|setting| setting.path == path);
    let setting = setting.unwrap_or_else(|| panic!("no setting {path}"));
    (setting.value.to_string(), setting.origin.to_string())
}

#[test]
fn the_shipped_experiment_becomes_its_plan() {
    let resolved = shipped("countdown", &[]);
    let plan = &resolved.plan;
    assert_eq!(plan.name, "countdown");
    assert_eq!(resolved.plan.model.vocabulary_size, 120);
    let ids: Vec<&str> = plan.rewards.iter().map(|reward| reward.id.as_str()).collect();
    assert_eq!(ids, ["format", "equation"], "rewards keep the order of the spec");
    assert_eq!(plan.rewards[1].plugin().unwrap().path, "experiments/../plugins/countdown.wasm");
    assert_eq!(plan.rewards[1].plugin().unwrap().config, "{}");
    assert_eq!(plan.rewards[1].plugin().unwrap().limits.memory_bytes, 256 << 20);
    assert_eq!(plan.rewards[1].plugin().unwrap().sha256.len(), 64);
    let data = DataRef { skip: 3000, ..r1x_core::testing::data_ref("countdown") };
    assert_eq!(grpo(&resolved).data, [data]);
    assert_eq!(plan.evals[0].pass_at, [1, 8]);
    let when = EvalWhen { start: true, stage_end: true, every: None };
    assert_eq!(plan.evals[0].when, when);
    assert_eq!(resolved.plugins.len(), 2);
}

#[test]
fn what_is_not_written_has_the_documented_default() {
    let unset = ["stages.rl.grpo.micro_batch_size=null", "stages.rl.grpo.zero_signal=null"];
    let resolved = shipped("countdown", &unset);
    let grpo = grpo(&resolved);
    assert_eq!((grpo.epochs, grpo.updates_per_epoch, grpo.micro_batch_size), (1, 1, 32));
    let loss = surrogate(grpo);
    assert_eq!(loss.clip, ClipPlan::Pessimistic(testing::clip()));
    assert_eq!(loss.kl, testing::kl());
    assert_eq!(grpo.advantage.kind, AdvantageKind::GroupNormalized);
    assert_eq!(loss.aggregation, Aggregation::TokenMean);
    assert_eq!((grpo.sampling.top_k, grpo.sampling.top_p, grpo.sampling.min_p), (0, 1.0, 0.0));
    assert_eq!((grpo.zero_signal, grpo.truncated), (ZeroSignal::Keep, Truncated::Keep));
    let model = &resolved.plan.model;
    assert!(model.tie_embeddings);
    assert_eq!((model.rope.theta, model.norm_eps, model.init_std), (10_000.0, 1e-6, 0.02));
}

#[test]
fn every_value_knows_where_it_came_from() {
    let resolved = shipped("countdown", &["stages.rl.grpo.lr=1e-4", "seed=2"]);
    assert_eq!(resolved.plan.seed, 2);
    assert_eq!(grpo(&resolved).optimizer.lr, 1e-4);
    let line =
        experiment("countdown").lines().position(|line| line.contains("group_size")).unwrap();
    let place = format!("experiments/countdown.yaml:{}", line + 1);
    assert_eq!(origin(&resolved, "stages.rl.grpo.group_size"), ("8".to_owned(), place));
    assert_eq!(origin(&resolved, "stages.rl.grpo.lr"), ("0.0001".to_owned(), "--set".to_owned()));
    assert_eq!(origin(&resolved, "seed"), ("2".to_owned(), "--set".to_owned()));
    assert_eq!(
        origin(&resolved, "stages.rl.grpo.clip.low"),
        ("0.2".to_owned(), "default".to_owned())
    );
    let unset = shipped("countdown", &["stages.rl.grpo.micro_batch_size=null"]);
    let derived = origin(&unset, "stages.rl.grpo.micro_batch_size");
    assert_eq!(derived, ("32".to_owned(), "default".to_owned()));
    let mut paths: Vec<&str> = resolved.settings.iter().map(|s| s.path.as_str()).collect();
    let count = paths.len();
    paths.sort_unstable();
    paths.dedup();
    assert_eq!(paths.len(), count, "a path has one origin");
}

#[test]
fn another_alternative_replaces_the_inherited_one() {
    let base = shipped("countdown", &[]);
    let dense = shipped("countdown-dense", &[]);
    let model = &dense.plan.model;
    assert_eq!(model.attention, AttentionPlan::Gqa(GqaPlan::llama(4, 2, 32)));
    assert_eq!(model.feed_forward, FeedForwardPlan::swiglu(256));
    assert_eq!(model.hidden_size, base.plan.model.hidden_size);
    assert_eq!(dense.plan.stages, base.plan.stages);
    assert_eq!(dense.files.len(), 2);
    assert_eq!(dense.files[0].0, "experiments/countdown-dense.yaml");
    assert_eq!(dense.source_text, experiment("countdown-dense"));
    let from = origin(&dense, "model.hidden_size").1;
    assert!(from.starts_with("experiments/countdown.yaml:"), "{from}");
}

#[test]
fn an_entry_of_another_kind_replaces_the_inherited_one() {
    let control = shipped("countdown-sft-control", &[]);
    let kinds: Vec<&str> = control.plan.stages.iter().map(|stage| stage.kind.as_str()).collect();
    assert_eq!(kinds, ["sft", "sft"]);
    assert_eq!(control.plan.stages[0], shipped("countdown", &[]).plan.stages[0]);
}

#[test]
fn maps_and_entries_merge_and_null_and_drop_remove() {
    let text = "r1x: 1\nextends: countdown.yaml\ntags: [other]\nrewards: {format: null}\n\
                stages:\n  - {id: cold-start, drop: true}\n  - id: rl\n    grpo: {rewards: [equation], \
                kl: {coef: 0.01}, schedule: null}\n  - {id: last, evaluate: {evals: [heldout]}}\n";
    let resolved = with(text, &[]);
    let ids: Vec<&str> = resolved.plan.stages.iter().map(|stage| stage.id.as_str()).collect();
    assert_eq!(ids, ["rl", "last"]);
    let StageKind::Grpo(grpo) = &resolved.plan.stages[0].kind else { panic!("rl is grpo") };
    assert_eq!(grpo.rewards, ["equation"]);
    assert_eq!((surrogate(grpo).kl.coef, grpo.group_size), (0.01, 8));
    assert_eq!(grpo.optimizer.schedule.warmup_steps, 0, "null brings the default back");
    assert_eq!(resolved.plan.rewards.len(), 1);
    assert_eq!(resolved.plan.tags, ["other"]);
}

/// Merged like others, they would leave everything as it is, and nobody would be told.
#[test]
fn empty_lists_and_maps_of_entries_drop_what_is_inherited() {
    let text = "r1x: 1\nextends: countdown.yaml\nevals: []\n";
    assert!(with(text, &[]).plan.evals.is_empty());
    assert_eq!(shipped("countdown", &["evals=[]"]).plan.evals, []);
    assert_eq!(
        shipped("countdown", &["rewards.format.with={}"]).plan.rewards[0].plugin().unwrap().config,
        "{}"
    );
    let error = World::new().resolve_file("experiments/countdown.yaml", &["stages=[]"]);
    assert!(error.is_err(), "a run has a stage");
    for set in ["stages.rl.grpo.sampling={}", "model={}", "record={}"] {
        let error = World::new().resolve_file("experiments/countdown.yaml", &[set]).unwrap_err();
        let message = &error.diagnostics[0].message;
        assert!(message.contains("an empty map changes nothing"), "{set}: {message}");
    }
}

#[test]
fn paths_are_relative_to_the_file_that_mentions_them() {
    let mut world = World::new().with(
        "elsewhere/deep/spec.yaml",
        "r1x: 1\nextends: ../../experiments/countdown.yaml\nrewards: {format: {plugin: ./mine.wasm}}\n",
    );
    world.add("elsewhere/deep/../../experiments/countdown.yaml", &experiment("countdown"));
    world.add("elsewhere/deep/../../experiments/../plugins/countdown.wasm", "countdown");
    world.add("elsewhere/deep/mine.wasm", "format");
    world.add("here.wasm", "countdown");
    let set = ["rewards.equation.plugin=here.wasm"];
    let resolved = world.resolve_file("elsewhere/deep/spec.yaml", &set).unwrap();
    let paths: Vec<&str> =
        resolved.plan.rewards.iter().map(|r| r.plugin().unwrap().path.as_str()).collect();
    assert_eq!(paths, ["elsewhere/deep/mine.wasm", "here.wasm"]);
}

#[test]
fn overrides_reach_every_kind_of_place() {
    let resolved = shipped(
        "countdown",
        &[
            "model.attention={gqa: {heads: 4, kv_heads: 2, head_dim: 32}}",
            "model.feed_forward.moe.groups=2",
            "model.feed_forward.moe.groups_per_token=2",
            "rewards.equation.with.strict=true",
            "rewards.equation.limits.memory_bytes=1GiB",
            "evals.heldout.gate.pass@1=\">= 0.4\"",
            "evals.heldout.when.every=50",
            "data.countdown.countdown.count=[3, 4]",
            "stages.rl.grpo.kl.coef=0.001",
            "tags=[a, b]",
            "checkpoints.every=null",
        ],
    );
    let plan = &resolved.plan;
    assert!(matches!(plan.model.attention, AttentionPlan::Gqa(GqaPlan { kv_heads: 2, .. })));
    assert!(matches!(&plan.model.feed_forward, FeedForwardPlan::Moe(moe) if moe.groups == 2));
    assert_eq!(plan.rewards[1].plugin().unwrap().config, "{\"strict\":true}");
    assert_eq!(plan.rewards[1].plugin().unwrap().limits.memory_bytes, 1 << 30);
    assert_eq!(plan.evals[0].gate["pass@1"], 0.4);
    assert_eq!(plan.evals[0].when.every, Some(50));
    let SourcePlan::Countdown(countdown) = &plan.data["countdown"].source else { panic!("data") };
    assert_eq!((countdown.min_count, countdown.max_count), (3, 4));
    assert_eq!(surrogate(grpo(&resolved)).kl.coef, 0.001);
    assert_eq!(plan.tags, ["a", "b"]);
    assert_eq!(plan.checkpoints.every, None);
    assert_eq!(resolved.overrides.len(), 11);
}

#[test]
fn later_overrides_win() {
    assert_eq!(shipped("countdown", &["seed=2", "seed=3"]).plan.seed, 3);
}

#[test]
fn jsonl_data_and_tokenizer_files_resolve() {
    let text = experiment("countdown");
    let generated = text.lines().find(|line| line.starts_with("    countdown: {count")).unwrap();
    let text = text
        .replace("tokenizer: {data: countdown}", "tokenizer: {file: tokenizer.json, eos: \"<|end|>\"}")
        .replace(
            generated,
            "    jsonl: {path: rows.jsonl, heldout: 0.2, columns: [nums, target], solution: worked}",
        );
    let world = World::new()
        .with(SPEC, &text)
        .with("experiments/rows.jsonl", "{}")
        .with("experiments/tokenizer.json", "<|end|>");
    let resolved = match world.resolve(&[]) {
        Ok(resolved) => resolved,
        Err(report) => panic!("{}", render(&report)),
    };
    assert_eq!(resolved.plan.model.vocabulary_size, 1000);
    let SourcePlan::Rows { path, solution, heldout, .. } = &resolved.plan.data["countdown"].source
    else {
        panic!("the data is JSONL");
    };
    assert_eq!(
        (path.as_str(), solution.as_deref(), *heldout),
        ("experiments/rows.jsonl", Some("worked"), 0.2)
    );
    let TokenizerPlan::File { eos, sha256, .. } = &resolved.plan.model.tokenizer else {
        panic!("the tokenizer is a file");
    };
    assert_eq!((&eos[..], sha256.len()), (&["<|end|>".to_owned()][..], 64));
}

#[test]
fn plans_survive_json_and_yaml() {
    for name in ["countdown", "countdown-dense", "countdown-sft-control"] {
        let plan = shipped(name, &[]).plan;
        let json = serde_json::to_string(&plan).unwrap();
        assert_eq!(RunPlan::from_json(&json, &|_| Err(String::new())).unwrap(), plan);
        let yaml = plan_yaml(&plan).unwrap();
        let back: serde_json::Value = serde_yaml::from_str(&yaml).unwrap();
        assert_eq!(serde_json::from_value::<RunPlan>(back).unwrap(), plan);
    }
}

#[test]
fn equal_meaning_is_an_equal_plan() {
    let plain = shipped("countdown", &[]).plan;
    let spelled = shipped(
        "countdown",
        &[
            "rewards.equation.with={}",
            "stages.rl.grpo.clip.low=0.20",
            "seed=0x1",
            "record.text=true",
        ],
    );
    assert_eq!(spelled.plan, plain);
}

#[test]
fn origins_read_like_places() {
    let file = Origin::File { file: "a.yaml".to_owned(), line: 3 };
    assert_eq!(file.to_string(), "a.yaml:3");
}

#[test]
fn shaped_rewards_become_their_plan() {
    let resolved = shipped("countdown-shaped", &[]);
    let [format, equation, length] = resolved.plan.rewards.as_slice() else {
        panic!("{:?}", resolved.plan.rewards);
    };
    let points = [(0, 0.3), (300, 0.1)].map(|(step, weight)| WeightPoint { step, weight });
    assert_eq!(format.weight, 0.3);
    assert_eq!(format.shaping.course, Some(CoursePlan::Points(points.to_vec())));
    let condition =
        ConditionPlan { reward: "format".to_owned(), at_least: 1.0, otherwise: Otherwise::Zero };
    assert_eq!(equation.shaping, ShapingPlan { condition: Some(condition), ..Default::default() });
    let schedule =
        SchedulePlan { kind: ScheduleKind::Constant, warmup_steps: 100, final_ratio: 0.0 };
    assert_eq!(length.weight, 0.2);
    assert_eq!(
        length.shaping,
        ShapingPlan {
            applies: Some(AppliesPlan { data: Some(vec!["countdown".to_owned()]), column: None }),
            clip: Some(Bounds { low: -0.5, high: 0.0 }),
            condition: None,
            course: Some(CoursePlan::Schedule(schedule)),
        }
    );
    let combine = CombinePlan { order: CombineOrder::NormalizeThenSum, whiten: true, clip: None };
    assert_eq!(grpo(&resolved).advantage.combine, combine);
    let whiten = origin(&resolved, "stages.rl.grpo.advantage.whiten");
    assert_eq!(whiten, ("true".to_owned(), "default".to_owned()));
}

#[test]
fn a_stage_takes_several_data_sets_and_rewards_choose_among_them() {
    let text = experiment("countdown").replace(
        "rewards:\n",
        "  chat:\n    jsonl: {path: rows.jsonl, columns: [question, kind]}\n    \
         prompt: \"{{ question }}\"\nrewards:\n",
    );
    let world = World::new().with(SPEC, &text).with("experiments/rows.jsonl", "{}");
    let set = [
        "stages.rl.grpo.data=[countdown.train, chat.train]",
        "stages.rl.grpo.skip=null",
        "rewards.equation.for={data: [countdown]}",
        "rewards.format.for={data: [chat], column: kind, values: [math, \"5\"]}",
    ];
    let resolved = match world.resolve(&set) {
        Ok(resolved) => resolved,
        Err(report) => panic!("{}", render(&report)),
    };
    let StageKind::Grpo(grpo) = &resolved.plan.stages[1].kind else { panic!("rl is grpo") };
    let whole = |data: &str| {
        let data = data.to_owned();
        DataRef { data, split: Split::Train, skip: 0, limit: None, parts: None }
    };
    assert_eq!(grpo.data, [whole("countdown"), whole("chat")]);
    let values = ["\"math\"", "\"5\""].map(str::to_owned).to_vec();
    let column = Some(ColumnPlan { name: "kind".to_owned(), values });
    let data = Some(vec!["chat".to_owned()]);
    assert_eq!(resolved.plan.rewards[0].shaping.applies, Some(AppliesPlan { data, column }));
}

/// `k1` as a term of the loss pulls nowhere on average: the run goes on, and it is said where that is written.
#[test]
fn a_published_model_gives_shape_weights_and_tokenizer() {
    let text = experiment("countdown");
    let (before, rest) = text.split_once("\nmodel:").unwrap();
    let (_, after) = rest.split_once("\ndata:").unwrap();
    let model = "\nmodel:\n  from: models/tiny\n  context_length: 256\n  precision: f32\ndata:";
    let world = World::new().with(SPEC, &format!("{before}{model}{after}"));
    let plan = world.resolve(&[]).unwrap_or_else(|report| panic!("{}", render(&report))).plan;
    let InitialWeights::Published { folder, sha256 } = &plan.model.initial else { panic!() };
    assert_eq!((folder.as_str(), sha256.len()), ("experiments/models/tiny", 64));
    let TokenizerPlan::File { path, eos, .. } = &plan.model.tokenizer else { panic!() };
    let path = path.as_str();
    assert_eq!((path, &eos[0][..]), ("experiments/models/tiny/tokenizer.json", "<end>"));
    assert_eq!((plan.model.context_length, plan.model.precision), (256, Precision::F32));
    assert_eq!((plan.model.hidden_size, plan.model.vocabulary_size), (8, 1000));
}

#[test]
fn a_checkpoint_gives_the_weights_of_what_is_trained() {
    let world = World::new().with("experiments/earlier/state.json", "2");
    let initial = |set: &[&str]| {
        let all = [&["model.checkpoint=experiments/earlier"], set].concat();
        let world = world.clone().with(SPEC, &experiment("countdown"));
        world.resolve(&all).unwrap_or_else(|report| panic!("{}", render(&report))).plan
    };
    let whole = initial(&["model.layers=2", "models.fresh={layers: 2, checkpoint: null}"]);
    let InitialWeights::Checkpoint { folder, sha256 } = &whole.model.initial else { panic!() };
    assert_eq!((folder.as_str(), sha256.len()), ("experiments/earlier", 64));
    assert_eq!(whole.models["fresh"].initial, InitialWeights::Random);
    // The numbers mean the same in both, whatever they begin with.
    assert!(whole.models["fresh"].is_alike(&whole.model));
}

/// The spec of a model from `models/tiny` whose problems are asked by messages.
fn conversation(model: &str) -> String {
    let text = experiment("countdown");
    let (before, rest) = text.split_once("\nmodel:").unwrap();
    let (_, after) = rest.split_once("\ndata:").unwrap();
    let (data, after) = after.split_once("    prompt:").unwrap();
    let (_, after) = after.split_once('\n').unwrap();
    let messages = "    messages: {system: s, user: \"{{ target }}\", prefill: \"<think>\\n\"}\n";
    format!("{before}\nmodel:\n  from: models/tiny\n{model}\ndata:{data}{messages}{after}")
}

#[test]
fn messages_are_written_with_the_chat_template_of_the_model() {
    let folder = |chat: &str| {
        let world = World::new().with("experiments/models/tiny/chat", chat);
        world.with("experiments/mine.jinja", "mine").with(SPEC, &conversation(""))
    };
    let plan = |world: World| match world.resolve(&[]) {
        Ok(resolved) => resolved.plan,
        Err(report) => panic!("{}", render(&report)),
    };
    let tokenizer = |plan: RunPlan| match plan.model.tokenizer {
        TokenizerPlan::File { bos, chat, .. } => (bos, chat.unwrap()),
        TokenizerPlan::Vocabulary { .. } => panic!("the tokenizer is a file"),
    };
    let text = |text: &str| Some(text.to_owned());
    let chat = |template: &str| {
        let (bos, eos) = (text("<s>"), text("<end>"));
        ChatPlan { template: template.to_owned(), bos, eos }
    };
    let asked = plan(folder("<s>\nadds\ntheirs"));
    let messages = MessagesPlan {
        system: text("s"),
        user: "{{ target }}".to_owned(),
        prefill: text("<think>\n"),
    };
    assert_eq!(asked.data["countdown"].prompt, PromptPlan::Messages(messages));
    assert_eq!(tokenizer(asked), (text("<s>"), chat("theirs")));
    assert_eq!(tokenizer(plan(folder("<s>\nomits\ntheirs"))), (None, chat("theirs")));
    // A template of the spec takes the place of the folder's, even of one that cannot be used.
    let written =
        "  tokenizer: {file: models/tiny/tokenizer.json, eos: <end>, chat_template: mine.jinja}";
    let world = folder("<s>\nomits\nbroken").with(SPEC, &conversation(written));
    assert_eq!(tokenizer(plan(world)), (None, chat("mine")));
    // Where the folder leaves it to the tokenizer, the tokenizer says what begins a text.
    let world = folder("<s>").with("experiments/models/tiny/tokenizer.json", "<begin> <end>");
    let world = world.with(SPEC, &conversation(written));
    assert_eq!(tokenizer(plan(world)), (text("<begin>"), chat("mine")));
}

#[test]
fn messages_take_the_place_of_an_inherited_prompt_alone() {
    let child = "r1x: 1\nextends: parent.yaml\ndata:\n  countdown:\n    messages: {user: u}\n";
    let tiny =
        "  tokenizer: {file: models/tiny/tokenizer.json, eos: <end>, chat_template: mine.jinja}";
    let parent = conversation(tiny).replace("    messages: {", "    prompt: \"{{ target }}\" # {");
    let world = World::new().with("experiments/mine.jinja", "mine");
    let world = world.with("experiments/parent.yaml", &parent).with(SPEC, child);
    let plan = match world.resolve(&[]) {
        Ok(resolved) => resolved.plan,
        Err(report) => panic!("{}", render(&report)),
    };
    let user = MessagesPlan { system: None, user: "u".to_owned(), prefill: None };
    let data = &plan.data["countdown"];
    assert_eq!(data.prompt, PromptPlan::Messages(user));
    assert!(matches!(data.source, SourcePlan::Countdown(_)));
}

/// Whatever format its rows have, a data set asks by a prompt or by messages.
#[test]
fn rows_of_every_format_are_asked_by_messages() {
    for (key, format) in [("jsonl", RowFormat::JsonLines), ("parquet", RowFormat::Parquet)] {
        let rows = format!("    {key}: {{path: rows}}\n    messages: {{user: u}}\n");
        let child = format!("r1x: 1\nextends: parent.yaml\ndata:\n  more:\n{rows}");
        let world = World::new().with("experiments/models/tiny/chat", "<s>\nomits\ntheirs");
        let world = world.with("experiments/rows", "{\"q\": 1}\n");
        let world = world.with("experiments/parent.yaml", &conversation("")).with(SPEC, &child);
        let plan = match world.resolve(&[]) {
            Ok(resolved) => resolved.plan,
            Err(report) => panic!("{}", render(&report)),
        };
        let user = MessagesPlan { system: None, user: "u".to_owned(), prefill: None };
        let data = &plan.data["more"];
        assert_eq!(data.prompt, PromptPlan::Messages(user));
        let SourcePlan::Rows { format: found, .. } = &data.source else { panic!("{key}") };
        assert_eq!(*found, format);
    }
}

#[test]
fn a_stage_begins_with_the_weights_it_names_or_those_of_the_one_before() {
    let from = |overrides: &[&str]| {
        let stages = shipped("countdown", overrides).plan.stages;
        stages.into_iter().map(|stage| (stage.id, stage.weights)).collect::<Vec<_>>()
    };
    let first = ("cold-start".to_owned(), WeightsFrom::Base);
    let after = |weights| ("rl".to_owned(), weights);
    let before = WeightsFrom::Stage("cold-start".to_owned());
    assert_eq!(from(&[])[..2], [first.clone(), after(before.clone())]);
    assert_eq!(from(&["stages.rl.weights=cold-start"]), from(&[]));
    assert_eq!(from(&["stages.rl.weights=base"])[..2], [first, after(WeightsFrom::Base)]);
}

#[test]
fn a_penalty_without_a_gradient_is_warned_about() {
    let kl = "stages.rl.grpo.kl";
    let warnings = |settings: &[String]| {
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        shipped("countdown", &settings).warnings
    };
    let found = warnings(&[format!("{kl}.coef=0.01"), format!("{kl}.estimator=k1")]);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].code, "R1X0141");
    let text = render_warnings(&found, Style { unicode: true, color: false, width: None });
    let expected = "\
warning[R1X0141]: k1 as a term of the loss has no gradient on average, so it pulls nowhere
  ┌─ --set:1:29
1 │ stages.rl.grpo.kl.estimator=k1
  │                             ^^
  = help: use k2, which has the gradient of the divergence, or k3
";
    assert_eq!(text, expected);
    for estimator in ["k2", "k3"] {
        let settings = [format!("{kl}.coef=0.01"), format!("{kl}.estimator={estimator}")];
        assert!(warnings(&settings).is_empty());
    }
    assert!(warnings(&[format!("{kl}.estimator=k1")]).is_empty(), "there is no penalty");
    assert!(warnings(&[]).is_empty());
}

#[test]
fn a_stage_that_makes_data_names_it_for_those_below() {
    let resolved = shipped("countdown-rejection", &[]);
    let [.., harvest, again] = &resolved.plan.stages[..] else { panic!("four stages") };
    let StageKind::Reject(reject) = &harvest.kind else { panic!("rejection sampling") };
    let least = |reward: &str| LeastPlan { reward: reward.to_owned(), at_least: 1.0 };
    assert_eq!(reject.keep, [least("equation"), least("format")]);
    assert_eq!(reject.text.most_similarity, Some(1.0));
    assert_eq!(again.weights, WeightsFrom::Base);
    let StageKind::Sft(sft) = &again.kind else { panic!("fine-tuning") };
    let named: Vec<&str> = sft.data.iter().map(|data| data.data.as_str()).collect();
    assert_eq!(named, ["harvest"]);
    assert_eq!(resolved.plan.maker("harvest").map(|stage| &stage.id), Some(&harvest.id));
    assert!(resolved.plan.maker("countdown").is_none());
    // Without a number, all that pass are kept.
    let all = shipped("countdown-rejection", &["stages.harvest.reject.per_prompt=null"]);
    let StageKind::Reject(all) = &all.plan.stages[2].kind else { panic!("rejection sampling") };
    assert_eq!(all.per_prompt, all.samples);
}
