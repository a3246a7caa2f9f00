//! Data sets, rewards and references to them.

use std::path::Path;

use r1x_core::plan::{
    CountdownPlan, DataPlan, DataRef, JudgedBy, LimitsPlan, MessagesPlan, PluginPlan, PromptPlan,
    RewardPlan, RowFormat, SourcePlan,
};
use r1x_core::problem::Split;

use super::{MAX_INPUT_BYTES, Resolver, tiny};
use crate::codes;
use crate::diagnostic::{all_words, quoted};
use crate::inputs::{DataFacts, DataRefusal, PluginFacts};
use crate::lists::Columns;
use crate::read::At;
use crate::source::Span;
use crate::spec::{
    CountdownSpec, DataSpec, MessagesSpec, PromptSpec, RewardJudgeSpec, RewardSpec, RowsSpec,
    SourceSpec,
};
use crate::value_types::{DataName, Name};

/// A data set of the spec; `plan` and `facts` are missing when something about it is wrong.
pub(crate) struct DataRead {
    pub id: String,
    pub plan: Option<DataPlan>,
    pub facts: Option<DataFacts>,
}

/// A reward of the spec; `plan` and `facts` are missing when something about it is wrong.
pub(crate) struct RewardFacts {
    pub id: String,
    pub plan: Option<RewardPlan>,
    pub facts: Option<PluginFacts>,
    /// The reward that decides whether it counts, as written.
    pub decider: Option<At<Name>>,
}

impl Resolver<'_, '_> {
    pub(super) fn read_data(&mut self, id: &At<Name>, spec: Option<&At<DataSpec>>) -> DataRead {
        let mut read = DataRead { id: id.0.clone(), plan: None, facts: None };
        let Some(spec) = spec else { return read };
        let Some(mut plan) = self.data_plan(spec) else { return read };
        match self.inputs.data(&id.0, &plan, &self.conversation.markup) {
            Ok(facts) => {
                if let (SourcePlan::Rows { sha256, .. }, Some(found)) =
                    (&mut plan.source, &facts.sha256)
                {
                    sha256.clone_from(found);
                }
                read.facts = Some(facts);
            }
            Err(DataRefusal::Unreadable(message)) => {
                let span = match &spec.source {
                    SourceSpec::Jsonl(rows) | SourceSpec::Parquet(rows) => rows.value.path.span,
                    _ => id.span,
                };
                let help = "relative paths start at the folder of the spec that mentions them";
                self.error(codes::MISSING_FILE, span, message).input().help(help);
                return read;
            }
            Err(DataRefusal::Unusable(error)) => {
                let message =
                    format!("the data {} cannot be used: {}", quoted(&id.0), error.message);
                let diagnostic = self.error(codes::DATA, id.span, message);
                diagnostic.input();
                if let Some(help) = error.help {
                    diagnostic.help(help);
                }
            }
        }
        read.plan = Some(plan);
        read
    }

    /// The plan of a data set but for the hash of its file; `None` where its prompts cannot be written.
    fn data_plan(&mut self, spec: &DataSpec) -> Option<DataPlan> {
        let source = match &spec.source {
            SourceSpec::Countdown(countdown) => countdown_plan(countdown),
            SourceSpec::Arithmetic(task) => tiny::arithmetic(task),
            SourceSpec::Strings(task) => tiny::strings(task),
            SourceSpec::Requests(task) => tiny::requests(task),
            SourceSpec::Jsonl(rows) => self.rows_plan(rows, RowFormat::JsonLines),
            SourceSpec::Parquet(rows) => self.rows_plan(rows, RowFormat::Parquet),
        };
        let (asked, prompt) = match &spec.prompt {
            PromptSpec::Text(prompt) => (&**prompt, PromptPlan::Text(prompt.value.clone())),
            PromptSpec::Messages(messages) => {
                let plan = self.messages(messages)?;
                (&messages.user, PromptPlan::Messages(plan))
            }
        };
        if asked.trim().is_empty() {
            self.error(codes::BAD_NAME, asked.span, "the prompt is empty".to_owned());
        }
        Some(DataPlan { source, prompt })
    }

    /// Messages, for which the model needs a chat template.
    fn messages(&mut self, spec: &At<MessagesSpec>) -> Option<MessagesPlan> {
        if self.conversation.markup.chat.is_none() {
            // Of a model that is wrong nobody knows whether it has one.
            if self.conversation.broken {
                return None;
            }
            let message = match &self.conversation.refusal {
                Some(why) => {
                    format!("the chat template of the model cannot be used: {}", why.message)
                }
                None => "`messages` needs a model that has a chat template".to_owned(),
            };
            let help = "name one, model.tokenizer: {file: PATH, eos: TOKEN, chat_template: PATH}, or write the prompt as \
                        one text under `prompt`";
            self.error(codes::TOKENIZER, spec.span, message).help(help);
            return None;
        }
        let text = |text: &Option<At<String>>| text.as_ref().map(|text| text.value.clone());
        let (system, prefill) = (text(&spec.system), text(&spec.prefill));
        Some(MessagesPlan { system, user: spec.user.value.clone(), prefill })
    }

    fn rows_plan(&mut self, spec: &RowsSpec, format: RowFormat) -> SourcePlan {
        if let (Some(mark), None) = (&spec.answer_after, &spec.answer) {
            let message = "`answer_after` needs the key `answer`, in whose column the mark stands";
            self.error(codes::MISSING_KEY, mark.span, message.to_owned());
        }
        if let Some(mark) = spec.answer_after.as_ref().filter(|mark| mark.trim().is_empty()) {
            let message = "`answer_after` is empty".to_owned();
            self.error(codes::BAD_NAME, mark.span, message);
        }
        if let (Some(rejected), None) = (&spec.rejected, &spec.solution) {
            let message =
                "`rejected` needs the key `solution`, whose column has the better completion";
            self.error(codes::MISSING_KEY, rejected.span, message.to_owned());
        }
        let path = self.reader.sources.path(spec.path.span.source, &spec.path);
        let columns = spec.columns.as_deref();
        SourcePlan::Rows {
            path: path.display().to_string(),
            format,
            sha256: String::new(),
            heldout: *spec.heldout,
            columns: columns.map(Columns::names),
            renamed: columns.map(Columns::renamed).unwrap_or_default(),
            solution: spec.solution.as_deref().cloned(),
            rejected: spec.rejected.as_deref().cloned(),
            answer: spec.answer.as_deref().cloned(),
            answer_after: spec.answer_after.as_deref().cloned(),
        }
    }

    pub(super) fn read_reward(
        &mut self,
        id: &At<Name>,
        spec: Option<&At<RewardSpec>>,
    ) -> RewardFacts {
        let mut reward = RewardFacts { id: id.0.clone(), plan: None, facts: None, decider: None };
        let Some(spec) = spec else { return reward };
        reward.decider = spec.only_if.as_ref().map(|only_if| only_if.reward.clone());
        let (weight, shaping) = self.shaping(&id.0, spec);
        let judged_by = match &spec.judge {
            RewardJudgeSpec::Plugin(path) => {
                let Some((plugin, facts)) = self.judging_plugin(&id.0, spec, path) else {
                    return reward;
                };
                reward.facts = facts;
                JudgedBy::Plugin(plugin)
            }
            RewardJudgeSpec::RewardModel(stage) => {
                self.check_keys_of_plugins(spec);
                JudgedBy::RewardModel { stage: stage.0.clone() }
            }
        };
        reward.plan = Some(RewardPlan {
            id: id.0.clone(),
            judged_by,
            weight,
            on_failure: *spec.on_failure,
            max_failed_share: *spec.max_failed_share,
            shaping,
        });
        reward
    }

    /// Reports what is written about a plugin beside a reward model.
    fn check_keys_of_plugins(&mut self, spec: &At<RewardSpec>) {
        let limits = &spec.limits;
        let written = [
            ("with", spec.with.span, self.is_written(&spec.with)),
            ("grant", spec.grant.span, self.is_written(&spec.grant)),
            ("limits", limits.time_ms.span, self.is_written(&limits.time_ms)),
            ("limits", limits.memory_bytes.span, self.is_written(&limits.memory_bytes)),
        ];
        for (key, span, _) in written.into_iter().filter(|(.., written)| *written) {
            let message = format!("`{key}` stands beside `reward_model`, and is about plugins");
            self.error(codes::ONE_OF, span, message).help("take the key out");
        }
    }

    /// The plugin that judges, and what it says about itself; `None` after reporting that there is none.
    fn judging_plugin(
        &mut self,
        id: &str,
        spec: &At<RewardSpec>,
        path: &At<String>,
    ) -> Option<(PluginPlan, Option<PluginFacts>)> {
        let (plugin, bytes) = self.read_plugin(path)?;
        let config = spec.with.0.to_string();
        let facts = match self.inputs.plugin(Path::new(&plugin), &bytes, &config) {
            Ok(facts) => Some(facts),
            Err(error) => {
                let message = format!("{plugin} cannot be used as a reward: {}", error.message);
                self.refused(path.span, message, error.help);
                None
            }
        };
        let asks = facts.as_ref().map_or(Vec::new(), |facts| facts.asks.clone());
        let grant = self.grant(id, (spec, path.span), &asks);
        let judge = PluginPlan {
            path: plugin,
            sha256: self.inputs.sha256(&bytes),
            config,
            limits: LimitsPlan {
                time_ms: *spec.limits.time_ms,
                time_per_rollout_ms: *spec.limits.time_per_rollout_ms,
                memory_bytes: spec.limits.memory_bytes.0,
                fuel: spec.limits.fuel.as_deref().copied(),
            },
            grant,
        };
        Some((judge, facts))
    }

    /// The component of a plugin, built from its sources where those are named.
    fn read_plugin(&mut self, path: &At<String>) -> Option<(String, Vec<u8>)> {
        let written = self.reader.sources.path(path.span.source, path);
        match self.inputs.component(&written) {
            Ok(component) => self.read_path(&component, path.span, MAX_INPUT_BYTES),
            Err(error) => {
                let message =
                    format!("{} gives no component: {}", written.display(), error.message);
                self.refused(path.span, message, error.help);
                None
            }
        }
    }

    fn refused(&mut self, span: Span, message: String, help: Option<String>) {
        let diagnostic = self.error(codes::PLUGIN, span, message).input();
        if let Some(help) = help {
            diagnostic.help(help);
        }
    }

    /// Looks up the problems a stage or suite names.
    pub(super) fn data_ref(
        &mut self,
        name: &At<DataName>,
        skip: Option<&At<usize>>,
        limit: Option<&At<usize>>,
    ) -> Option<DataRef> {
        if self.makers.contains(&name.data) {
            let message =
                format!("the rows that the stage {} makes are to train on", quoted(&name.data));
            let help = "a suite asks problems of a data set, which are there before the run";
            self.error(codes::HELDOUT, name.span, message).help(help);
            return None;
        }
        let Some(facts) = self.data.iter().find(|facts| facts.id == name.data) else {
            let sets = self.data.iter().map(|facts| &facts.id);
            let known: Vec<String> = sets.chain(&self.makers).cloned().collect();
            self.unknown("data set", &name.data, name.span, &known);
            return None;
        };
        let generator = facts.generator();
        let all = facts.available(name.split);
        let available = all.map(|all| all.saturating_sub(skip.map_or(0, |skip| **skip)));
        if let (Some(0), Some(all), Some(skip)) = (available, all, skip)
            && all > 0
        {
            let split = name.split.as_str();
            let message = format!(
                "skipping {} leaves nothing of the {all} problems of `{}.{split}`",
                **skip, name.data
            );
            let more = if generator.is_some() { "generate" } else { "add" };
            let help = format!("skip fewer problems, or {more} more");
            self.error(codes::COUNTS, skip.span, message).help(help);
        } else if available == Some(0) {
            self.no_problems(name);
        } else if let (Some(available), Some(limit)) = (available, limit)
            // For a file, whose rows nobody counts by hand, a limit is only a most.
            && let Some(key) = generator
            && **limit > available
        {
            let split = name.split.as_str();
            let message = format!(
                "the limit is {}, but `{}.{split}` has {available} problems{}",
                **limit,
                name.data,
                if skip.is_some() { " after the skipped ones" } else { "" }
            );
            let help = format!("lower the limit, or raise data.{}.{key}.{split}", name.data);
            self.error(codes::COUNTS, limit.span, message).help(help);
        }
        let (skip, limit) = (skip.map_or(0, |skip| **skip), limit.map(|limit| **limit));
        Some(DataRef { data: name.data.clone(), split: name.split, skip, limit, parts: None })
    }

    /// Looks up rows that a stage makes, of which nobody knows how many there will be.
    fn made_ref(
        &mut self,
        name: &At<DataName>,
        skip: Option<&At<usize>>,
        limit: Option<&At<usize>>,
    ) -> Option<DataRef> {
        let id = &name.data;
        if name.split == Split::Heldout {
            let message = format!("the stage {} makes problems to train on only", quoted(id));
            let help = "name a split of a data set";
            self.error(codes::HELDOUT, name.span, message).help(help);
            return None;
        }
        if !self.made.iter().any(|made| made.id == *id) {
            let message =
                format!("the stage {} makes this data, and has not run by then", quoted(id));
            let help = "stages run from top to bottom: put it above, and evaluate on data sets";
            self.error(codes::UNKNOWN_NAME, name.span, message).help(help);
            return None;
        }
        let (skip, limit) = (skip.map_or(0, |skip| **skip), limit.map(|limit| **limit));
        Some(DataRef { data: id.clone(), split: name.split, skip, limit, parts: None })
    }

    fn no_problems(&mut self, name: &At<DataName>) {
        let (message, help) = match name.split {
            Split::Heldout => (
                format!("`{}` holds out no problems", name.data),
                format!("give data.{} a `heldout` above 0, or more rows", name.data),
            ),
            Split::Train => (
                format!("`{}` has no problems to train on", name.data),
                format!("give data.{} more problems, or hold out fewer", name.data),
            ),
        };
        self.error(codes::COUNTS, name.span, message).help(help);
    }

    /// Reports a step that draws more problems than its data has, where these are counted.
    pub(super) fn check_draws(&mut self, data: &[DataRef], draws: &At<usize>, what: &str) {
        let all_parts: usize = data.iter().filter_map(|one| one.parts).map(|p| p as usize).sum();
        if all_parts > 0 {
            for one in data {
                let share = **draws * one.parts.unwrap_or_default() as usize;
                self.check_share(one, share.div_ceil(all_parts), draws);
            }
            return;
        }
        let Some(offered) = data.iter().map(|one| self.offered(one)).sum::<Option<usize>>() else {
            return;
        };
        if offered == 0 || **draws <= offered {
            return;
        }
        let names: Vec<String> =
            data.iter().map(|data| format!("{}.{}", data.data, data.split.as_str())).collect();
        let limited = data.iter().any(|data| data.skip > 0 || data.limit.is_some());
        let message = format!(
            "{what} is {}, but {} has {offered} problems{}",
            **draws,
            all_words(names.iter().map(String::as_str)),
            if limited { " between `skip` and `limit`" } else { "" }
        );
        let help = "the problems of a step differ; draw fewer, or give the data more";
        self.error(codes::COUNTS, draws.span, message).help(help);
    }

    /// How many problems a reference offers, where that is known.
    pub(super) fn offered(&self, data: &DataRef) -> Option<usize> {
        let all = self.data.iter().find(|read| read.id == data.data)?.available(data.split)?;
        Some(all.saturating_sub(data.skip).min(data.limit.unwrap_or(usize::MAX)))
    }

    /// Reports a data set of a mixture that has fewer problems than a step draws of it.
    fn check_share(&mut self, data: &DataRef, share: usize, draws: &At<usize>) {
        let offered = self.offered(data).filter(|offered| *offered > 0 && *offered < share);
        let Some(offered) = offered else { return };
        let name = format!("{}.{}", data.data, data.split.as_str());
        let message = format!("a step draws {share} problems of `{name}`, which has {offered}");
        let help =
            "the problems of a step differ; draw fewer, give it fewer parts, or give the data more";
        self.error(codes::COUNTS, draws.span, message).help(help);
    }

    /// Looks up problems to train on.
    pub(super) fn training_data(
        &mut self,
        name: &At<DataName>,
        skip: Option<&At<usize>>,
        limit: Option<&At<usize>>,
    ) -> Option<DataRef> {
        if self.makers.contains(&name.data) {
            return self.made_ref(name, skip, limit);
        }
        if name.split == Split::Heldout {
            let message =
                format!("this stage would train on the held-out problems of `{}`", name.data);
            let diagnostic = self.error(codes::HELDOUT, name.span, message);
            diagnostic.label(format!("did you mean `{}.train`?", name.data));
        }
        self.data_ref(name, skip, limit)
    }
}

fn countdown_plan(spec: &CountdownSpec) -> SourcePlan {
    SourcePlan::Countdown(CountdownPlan {
        min_count: spec.count.0 as usize,
        max_count: spec.count.1 as usize,
        min_number: spec.numbers.0,
        max_number: spec.numbers.1,
        min_target: spec.target.0,
        max_target: spec.target.1,
        operations: spec.operations.0.clone(),
        train: *spec.train,
        heldout: *spec.heldout,
        trace: *spec.trace,
        seed: *spec.seed,
    })
}

impl DataRead {
    /// The key of the spec that its rows stand under; none for generated data.
    pub fn key(&self) -> Option<&'static str> {
        let source = &self.plan.as_ref()?.source;
        source.generated().is_none().then(|| source.key())
    }

    /// The key of the spec that generated problems stand under; none for rows of files.
    fn generator(&self) -> Option<&'static str> {
        let source = &self.plan.as_ref()?.source;
        source.generated().map(|_| source.key())
    }

    /// How many problems a split has, where that is known.
    fn available(&self, split: Split) -> Option<usize> {
        let generated = self.plan.as_ref()?.source.generated();
        let (train, heldout) =
            generated.or_else(|| self.facts.as_ref().and_then(|facts| facts.problems))?;
        Some(if split == Split::Train { train } else { heldout })
    }
}
