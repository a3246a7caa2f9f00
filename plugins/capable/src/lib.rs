//! A guest that uses every capability on request, for the tests of the host.
//!
//! Not a reward for training. The first word of a completion says which capability to use and how; what came of it
//! is told as the score's `info`.

use r1x_plugin::exec::{Input, Job};
use r1x_plugin::judge::{Continuation, Request};
use r1x_plugin::{Map, Needs, PluginInfo, Reward, Rollout, Score, Value, assets, exec, judge};

/// Time and memory of every program it runs.
const TIME_MS: u32 = 20;
const MEMORY_BYTES: u64 = 16 << 20;

/// The guest; it takes no configuration.
pub struct Capable;

impl Reward for Capable {
    fn info() -> PluginInfo {
        PluginInfo {
            name: "capable".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            description: "Uses capabilities on request".to_owned(),
            needs: Needs::empty(),
            columns: Vec::new(),
            optional_columns: Vec::new(),
            parts: Vec::new(),
            min: Some(0.0),
            max: Some(1.0),
            config_schema: None,
        }
    }

    fn configure(_: &Map<String, Value>) -> Result<Self, String> {
        Ok(Self)
    }

    fn score(&self, rollout: &Rollout) -> Result<Score, String> {
        let (order, rest) = rollout.completion.split_once(' ').unwrap_or((&rollout.completion, ""));
        let told = match order {
            "asset" => format!("{:?}", assets::read(rest).map(|bytes| text(&bytes))),
            "exec" => format!("{:?}", exec::run(&[job("parrot", rest)])),
            "speak" => format!("{:?}", exec::run(&[job(rest, "say hello")])),
            "many" => many(rest),
            "storm" => storm(),
            "complete" => format!("{:?}", judge::complete("critic", &[request(rest)])),
            "logprob" => format!("{:?}", judge::logprob("critic", &[continuation(rest)])),
            _ => "nothing".to_owned(),
        };
        Ok(Score::new(1.0, told))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A program of lines, each of which is a run of its own.
fn job(language: &str, code: &str) -> Job {
    let inputs = code.split(';').map(|line| Input { function: None, text: line.trim().to_owned() });
    Job {
        language: language.to_owned(),
        code: code.to_owned(),
        inputs: inputs.collect(),
        time_ms: TIME_MS,
        memory_bytes: MEMORY_BYTES,
    }
}

/// As many jobs as the number says, each with a number of its own to say.
fn many(number: &str) -> String {
    let jobs: Vec<Job> = (0..number.parse::<u32>().unwrap_or(0))
        .map(|index| job("parrot", &format!("say {index}; count; count")))
        .collect();
    let right = exec::run(&jobs).map(|outcomes| {
        let ok = |text: String| exec::Outcome::Ok(text);
        outcomes
            .iter()
            .enumerate()
            .filter(|(index, outcomes)| {
                let expected = [ok(index.to_string()), ok("2".to_owned()), ok("3".to_owned())];
                format!("{outcomes:?}") == format!("{expected:?}")
            })
            .count()
    });
    format!("{right:?}")
}

fn storm() -> String {
    let asked = (0..1_000_000).filter(|_| assets::read("none").is_err()).count();
    format!("{asked} answers")
}

fn request(prompt: &str) -> Request {
    Request { prompt: prompt.to_owned(), max_tokens: 3, temperature: 0.0, seed: 7 }
}

fn continuation(text: &str) -> Continuation {
    let (prompt, text) = text.split_once('|').unwrap_or((text, ""));
    Continuation { prompt: prompt.to_owned(), text: text.to_owned() }
}

r1x_plugin::export_reward!(Capable);
