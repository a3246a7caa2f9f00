//! Reward `judge`: the verdict of a frozen model on a completion.
//!
//! The model writes its verdict, or says how likely each verdict would be. What a completion contains is put into
//! the template once and never read as a template itself.

mod template;
mod verdict;

use r1x_plugin::judge::{self, Continuation, Request};
use r1x_plugin::settings::{Key, Kind, Settings, schema};
use r1x_plugin::text::{shorten, split_thought};
use r1x_plugin::{Error, Map, Needs, PluginInfo, Reward, Rollout, Score, Value, parse_columns};
use regex_lite::{Regex, RegexBuilder};

use template::Template;
use verdict::Verdicts;

/// Columns that a template may name.
const COLUMNS: [&str; 7] =
    ["question", "answer", "reference", "solution", "rubric", "context", "source"];
/// Memory that a compiled pattern may take, bytes.
const MAX_PROGRAM: usize = 256 << 10;

const KEYS: &[Key] = &[
    Key {
        name: "model",
        kind: Kind::Text,
        default: "",
        about: "The name of the model under `judges`.",
    },
    Key {
        name: "template",
        kind: Kind::Text,
        default: "",
        about: "What the model is asked, with {prompt}, {completion} and columns of the problem in braces.",
    },
    Key {
        name: "mode",
        kind: Kind::Choice(&["write", "likelihood"]),
        default: r#""write""#,
        about: "The model writes a verdict, or the verdicts are weighed by how likely it finds each.",
    },
    Key {
        name: "verdicts",
        kind: Kind::Text,
        default: r#""yes=1, no=0""#,
        about: "Verdicts with their rewards; empty for a verdict that is a number from 0 to 1.",
    },
    Key {
        name: "pattern",
        kind: Kind::Text,
        default: r#""""#,
        about: "write: where the verdict stands, the first group of the last match; empty for the last verdict word.",
    },
    Key {
        name: "part",
        kind: Kind::Choice(&["after_think", "whole"]),
        default: r#""after_think""#,
        about: "What of the completion is judged.",
    },
    Key {
        name: "prefilled",
        kind: Kind::Flag,
        default: "false",
        about: "The prompt already ends with <think>: before </think> there is no answer.",
    },
    Key {
        name: "max_tokens",
        kind: Kind::Whole(1, 100_000),
        default: "64",
        about: "write: tokens the model may write.",
    },
    Key {
        name: "temperature",
        kind: Kind::Number(0.0, 10.0),
        default: "0",
        about: "write: 0 takes the likeliest token each time.",
    },
    Key {
        name: "seed",
        kind: Kind::Whole(0, 1 << 53),
        default: "1",
        about: "write: of the draws.",
    },
];

/// The configured reward.
#[derive(Clone, Debug)]
pub struct Judged {
    model: String,
    template: Template,
    likelihood: bool,
    verdicts: Verdicts,
    pattern: Option<Regex>,
    whole: bool,
    prefilled: bool,
    max_tokens: u32,
    temperature: f32,
    seed: u64,
}

impl Judged {
    fn prompt(&self, rollout: &Rollout) -> Result<String, String> {
        let columns = parse_columns(rollout)?;
        let completion = match self.whole {
            true => rollout.completion.as_str(),
            false => split_thought(&rollout.completion, self.prefilled).1,
        };
        let value = |name: &str| match name {
            "prompt" => Ok(rollout.prompt.clone().unwrap_or_default()),
            "completion" => Ok(completion.trim().to_owned()),
            name => r1x_plugin::column_text(&columns, name),
        };
        self.template.fill(value)
    }

    fn written(&self, prompts: Vec<String>) -> Result<Vec<Score>, String> {
        let request = |prompt| Request {
            prompt,
            max_tokens: self.max_tokens,
            temperature: self.temperature,
            seed: self.seed,
        };
        let requests: Vec<Request> = prompts.into_iter().map(request).collect();
        let answers = judge::complete(&self.model, &requests)?;
        Ok(answers.iter().map(|answer| self.read(answer)).collect())
    }

    /// The score of what the model wrote; without a verdict there is no opinion.
    fn read(&self, answer: &str) -> Score {
        let verdict = match &self.pattern {
            Some(pattern) => {
                let last = pattern.captures_iter(answer).last();
                let group = last.and_then(|found| found.get(1).or_else(|| found.get(0)));
                group.and_then(|group| self.verdicts.reward(group.as_str()))
            }
            None => self.verdicts.last(answer),
        };
        let end = answer.trim();
        let skipped = end.chars().count().saturating_sub(200);
        let shown = shorten(&end.chars().skip(skipped).collect::<String>(), 200);
        let mut score =
            Score::new(0.0, format!("writes: {shown}")).part("verdict", verdict.is_some());
        score.reward = verdict;
        score
    }

    fn weighed(&self, prompts: Vec<String>) -> Result<Vec<Score>, String> {
        let words = self.verdicts.words();
        let pairs = prompts.iter().flat_map(|prompt| {
            words.iter().map(|word| Continuation { prompt: prompt.clone(), text: word.clone() })
        });
        let logprobs = judge::logprob(&self.model, &pairs.collect::<Vec<_>>())?;
        Ok(logprobs.chunks(words.len()).map(|some| self.verdicts.weigh(some)).collect())
    }

    fn ask(&self, prompts: Vec<String>) -> Result<Vec<Score>, String> {
        let asked = prompts.len();
        let scores = if self.likelihood { self.weighed(prompts) } else { self.written(prompts) }?;
        if scores.len() == asked {
            Ok(scores)
        } else {
            Err("the model left questions open".to_owned())
        }
    }
}

fn pattern(text: &str) -> Result<Option<Regex>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let built = RegexBuilder::new(text).size_limit(MAX_PROGRAM).build();
    built.map(Some).map_err(|error| format!("`pattern`: {error}"))
}

impl Reward for Judged {
    fn info() -> PluginInfo {
        PluginInfo {
            name: "judge".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            description: "The verdict of a frozen model".to_owned(),
            needs: Needs::PROMPT,
            columns: Vec::new(),
            optional_columns: COLUMNS.map(str::to_owned).to_vec(),
            parts: vec!["verdict".to_owned()],
            min: Some(-verdict::LARGEST),
            max: Some(verdict::LARGEST),
            config_schema: Some(schema(KEYS)),
        }
    }

    fn configure(config: &Map<String, Value>) -> Result<Self, String> {
        let settings = Settings::read(config, KEYS)?;
        let known: Vec<&str> = ["prompt", "completion"].into_iter().chain(COLUMNS).collect();
        let template = Template::read(settings.text("template"), &known)?;
        let verdicts = Verdicts::read(settings.text("verdicts"))?;
        let likelihood = settings.text("mode") == "likelihood";
        if likelihood && verdicts.words().is_empty() {
            return Err("`verdicts` is empty, and `likelihood` weighs verdicts".to_owned());
        }
        Ok(Self {
            model: settings.text("model").to_owned(),
            template,
            likelihood,
            verdicts,
            pattern: pattern(settings.text("pattern"))?,
            whole: settings.text("part") == "whole",
            prefilled: settings.flag("prefilled"),
            max_tokens: u32::try_from(settings.whole("max_tokens")).unwrap_or(u32::MAX),
            temperature: settings.number("temperature") as f32,
            seed: settings.whole("seed"),
        })
    }

    fn score(&self, rollout: &Rollout) -> Result<Score, String> {
        let mut scores = self.ask(vec![self.prompt(rollout)?])?;
        Ok(scores.remove(0))
    }

    /// All questions of a call are asked together.
    fn score_batch(&self, batch: &[Rollout]) -> Result<Vec<Score>, Error> {
        let mut prompts = Vec::with_capacity(batch.len());
        for (rollout, position) in batch.iter().zip(0u32..) {
            let prompt = self.prompt(rollout);
            prompts.push(prompt.map_err(|reason| Error::BadSample((position, reason)))?);
        }
        if prompts.is_empty() {
            return Ok(Vec::new());
        }
        self.ask(prompts).map_err(Error::Other)
    }
}

r1x_plugin::export_reward!(Judged);

#[cfg(test)]
mod tests {
    use super::*;
    use r1x_plugin::test_rollout;

    fn judged(config: &str) -> Result<Judged, String> {
        Judged::configure(&r1x_plugin::parse_config(config).unwrap())
    }

    #[test]
    fn a_completion_is_never_read_as_a_template() {
        let judged =
            judged(r#"{"model":"m","template":"{question} | {completion} | {{x}}"}"#).unwrap();
        let rollout =
            test_rollout("t</think> {question} {nothing}", r#"{"question":"Q {completion}"}"#);
        let prompt = judged.prompt(&rollout).unwrap();
        assert_eq!(prompt, "Q {completion} | {question} {nothing} | {x}");
        let error = judged.prompt(&test_rollout("x", "{}")).unwrap_err();
        assert!(error.contains("`question` is missing"), "{error}");
    }

    #[test]
    fn what_the_model_writes_becomes_a_reward_or_no_opinion() {
        let base = r#"{"model":"m","template":"{completion}""#;
        for (more, answer, reward) in [
            ("", "I say: Yes.", Some(1.0)),
            ("", "yes? no: NO", Some(0.0)),
            ("", "yesterday", None),
            ("", "", None),
            (r#","verdicts":"good=1, fair=0.5, bad=-1""#, "rather bad, or fair", Some(0.5)),
            (r#","pattern":"Verdict: (\\w+)""#, "yes. Verdict: no", Some(0.0)),
            (r#","pattern":"Verdict: (\\w+)""#, "yes", None),
            (r#","verdicts":"","pattern":"Score: ([0-9.]+)""#, "Score: 0.25", Some(0.25)),
            (r#","verdicts":"","pattern":"Score: ([0-9.]+)""#, "Score: 7", None),
            (r#","verdicts":"""#, "about 0.5 or 0.75", Some(0.75)),
        ] {
            let score = judged(&format!("{base}{more}}}")).unwrap().read(answer);
            assert_eq!(score.reward, reward, "{more} {answer}");
            assert_eq!(score.parts[0].value, f64::from(u8::from(reward.is_some())));
        }
    }

    #[test]
    fn mistakes_are_told() {
        for (config, words) in [
            ("{}", "`model` is missing"),
            (r#"{"model":"m"}"#, "`template` is missing"),
            (r#"{"model":"m","template":"{completion} {target}"}"#, "`target`"),
            (r#"{"model":"m","template":"no completion"}"#, "{completion}"),
            (r#"{"model":"m","template":"{completion"}"#, "not closed"),
            (r#"{"model":"m","template":"{completion}","verdicts":"yes"}"#, "`yes`"),
            (r#"{"model":"m","template":"{completion}","verdicts":"yes=11"}"#, "from -10 to 10"),
            (r#"{"model":"m","template":"{completion}","pattern":"("}"#, "`pattern`"),
            (
                r#"{"model":"m","template":"{completion}","verdicts":"","mode":"likelihood"}"#,
                "weighs",
            ),
        ] {
            let error = judged(config).unwrap_err();
            assert!(error.contains(words), "{config}: {error}");
        }
    }
}
