//! Reward `code`: the program in a completion, run on the problem's tests in a sandbox of its own.
//!
//! The sandbox gets the program and the inputs. What is expected of it stays here, so a program has nothing to find
//! in there but its own answers.

mod compare;
mod extract;
mod fence;
mod test;

use std::borrow::Cow;

use r1x_plugin::exec::{self, Input, Job, Outcome};
use r1x_plugin::settings::{Key, Kind, Settings, schema};
use r1x_plugin::{Error, Map, Needs, PluginInfo, Reward, Rollout, Score, Value, parse_columns};

use extract::{PLACES, Place};
use test::Test;

const KEYS: &[Key] = &[
    Key {
        name: "language",
        kind: Kind::Text,
        default: r#""python""#,
        about: "What programs are written in.",
    },
    Key {
        name: "extract",
        kind: Kind::Choices(PLACES),
        default: r#"["fence", "answer_tag"]"#,
        about: "Where the program stands, in the order of trying: the last fenced block in Python, the answer tag, the whole.",
    },
    Key {
        name: "partial",
        kind: Kind::Flag,
        default: "false",
        about: "Give the share of tests that pass, not all or nothing.",
    },
    Key {
        name: "time_ms",
        kind: Kind::Whole(1, 600_000),
        default: "2000",
        about: "Work of one test, in milliseconds of five million units.",
    },
    Key {
        name: "memory_bytes",
        kind: Kind::Whole(1 << 20, 1 << 32),
        default: "268435456",
        about: "Memory of a sandbox, interpreter included.",
    },
    Key {
        name: "tolerance",
        kind: Kind::Number(0.0, 1.0),
        default: "0",
        about: "Relative or absolute error that counts as none, in numbers written or returned; two whole numbers must be equal.",
    },
];

/// How tests can end, by the name of the part that tells their share.
const ENDS: [&str; 8] = [
    "passed",
    "wrong",
    "failed",
    "exited",
    "timed_out",
    "out_of_memory",
    "crashed",
    "unsupported_import",
];

/// The configured reward.
#[derive(Clone, Debug, PartialEq)]
pub struct Code {
    language: String,
    places: Vec<Place>,
    partial: bool,
    time_ms: u32,
    memory_bytes: u64,
    tolerance: f64,
}

/// A program with its tests.
struct Question<'a> {
    code: Option<Cow<'a, str>>,
    tests: Vec<Test>,
}

impl Code {
    fn question<'a>(&self, rollout: &'a Rollout) -> Result<Question<'a>, String> {
        let columns = parse_columns(rollout)?;
        let tests = test::read(&columns)?;
        Ok(Question { code: extract::program(&rollout.completion, &self.places), tests })
    }

    fn job(&self, question: &Question<'_>) -> Option<Job> {
        let input =
            |test: &Test| Input { function: test.function.clone(), text: test.input.clone() };
        Some(Job {
            language: self.language.clone(),
            code: question.code.as_deref()?.to_owned(),
            inputs: question.tests.iter().map(input).collect(),
            time_ms: self.time_ms,
            memory_bytes: self.memory_bytes,
        })
    }

    /// The score of a program whose tests ended like this.
    fn judge(&self, question: &Question<'_>, outcomes: &[Outcome]) -> Score {
        let ends: Vec<(&str, String)> = question
            .tests
            .iter()
            .zip(outcomes)
            .map(|(test, outcome)| test.end(outcome, self.tolerance))
            .collect();
        let all = question.tests.len();
        let passed = ends.iter().filter(|(end, _)| *end == ENDS[0]).count();
        let share = passed as f64 / all as f64;
        let reward = if self.partial || passed == all { share } else { 0.0 };
        let first = ends.iter().position(|(end, _)| *end != ENDS[0]).map(|at| (at, &ends[at]));
        let why = match first {
            None => String::new(),
            Some((at, (end, why))) => {
                let why = r1x_plugin::text::shorten(why.trim(), 600);
                let colon = if why.is_empty() { "" } else { ": " };
                format!("; test {} {}{colon}{why}", at + 1, end.replace('_', " "))
            }
        };
        let mut score = Score::new(reward, format!("{passed} of {all} tests pass{why}"));
        score = score.part("found", true);
        for name in ENDS {
            let count = ends.iter().filter(|(end, _)| *end == name).count();
            score = score.part(name, count as f64 / all as f64);
        }
        score
    }

    fn nothing(&self) -> Score {
        let score = Score::new(0.0, "no program found").part("found", false);
        ENDS.iter().fold(score, |score, name| score.part(name, 0.0))
    }
}

impl Reward for Code {
    fn info() -> PluginInfo {
        let parts = ["found"].iter().chain(&ENDS).map(|name| (*name).to_owned()).collect();
        PluginInfo {
            name: "code".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            description: "Does the program pass its tests?".to_owned(),
            needs: Needs::empty(),
            columns: vec!["tests".to_owned()],
            optional_columns: test::COLUMNS.iter().map(|name| (*name).to_owned()).collect(),
            parts,
            min: Some(0.0),
            max: Some(1.0),
            config_schema: Some(schema(KEYS)),
        }
    }

    fn configure(config: &Map<String, Value>) -> Result<Self, String> {
        let settings = Settings::read(config, KEYS)?;
        let places: Vec<Place> =
            settings.texts("extract").into_iter().filter_map(Place::named).collect();
        if places.is_empty() {
            return Err("`extract` is empty: say where the program stands".to_owned());
        }
        Ok(Self {
            language: settings.text("language").to_owned(),
            places,
            partial: settings.flag("partial"),
            time_ms: u32::try_from(settings.whole("time_ms")).unwrap_or(u32::MAX),
            memory_bytes: settings.whole("memory_bytes"),
            tolerance: settings.number("tolerance"),
        })
    }

    fn score(&self, rollout: &Rollout) -> Result<Score, String> {
        let question = self.question(rollout)?;
        let Some(job) = self.job(&question) else { return Ok(self.nothing()) };
        let outcomes = exec::run(&[job])?;
        Ok(self.judge(&question, outcomes.first().map_or(&[], Vec::as_slice)))
    }

    /// All programs of a call are run together, so that they run at the same time.
    fn score_batch(&self, batch: &[Rollout]) -> Result<Vec<Score>, Error> {
        let mut questions = Vec::with_capacity(batch.len());
        for (rollout, position) in batch.iter().zip(0u32..) {
            let question = self.question(rollout);
            questions.push(question.map_err(|reason| Error::BadSample((position, reason)))?);
        }
        let jobs: Vec<Job> = questions.iter().filter_map(|question| self.job(question)).collect();
        let mut outcomes = match jobs.is_empty() {
            true => Vec::new(),
            false => exec::run(&jobs).map_err(Error::Other)?,
        }
        .into_iter();
        let score = |question: &Question<'_>| match &question.code {
            None => self.nothing(),
            Some(_) => self.judge(question, &outcomes.next().unwrap_or_default()),
        };
        Ok(questions.iter().map(score).collect())
    }
}

r1x_plugin::export_reward!(Code);

#[cfg(test)]
mod tests {
    use super::*;
    use r1x_plugin::test_rollout;

    fn code(config: &str) -> Code {
        Code::configure(&r1x_plugin::parse_config(config).unwrap()).unwrap()
    }

    fn ok(text: &str) -> Outcome {
        Outcome::Ok(text.to_owned())
    }

    const TESTS: &str = r#"{"tests":[{"input":"1","output":"2\n"},{"input":"5","output":"6"}]}"#;

    #[test]
    fn all_or_nothing_unless_partial() {
        let rollout = test_rollout("```python\nx\n```", TESTS);
        for (config, outcomes, reward, info) in [
            ("{}", [ok("2"), ok("6\n\n")], 1.0, "2 of 2 tests pass"),
            ("{}", [ok("2"), ok("7")], 0.0, "1 of 2 tests pass; test 2 wrong: `7`, not `6`"),
            (
                r#"{"partial":true}"#,
                [ok("2"), Outcome::TimedOut],
                0.5,
                "1 of 2 tests pass; test 2 timed out",
            ),
        ] {
            let code = code(config);
            let question = code.question(&rollout).unwrap();
            let score = code.judge(&question, &outcomes);
            assert_eq!(
                (score.reward, score.info.as_deref()),
                (Some(reward), Some(info)),
                "{config}"
            );
            let parts: f64 = score.parts.iter().skip(1).map(|part| part.value).sum();
            assert_eq!(parts, 1.0);
        }
    }

    #[test]
    fn a_job_has_inputs_and_nothing_that_is_expected() {
        let tests =
            r#"{"tests":[{"input":"1","output":"hidden"},{"input":"5","output":"hidden"}]}"#;
        let rollout = test_rollout("<answer>print(1)</answer>", tests);
        let code = code(r#"{"time_ms":5}"#);
        let job = code.job(&code.question(&rollout).unwrap()).unwrap();
        assert_eq!((job.code.as_str(), job.time_ms, job.inputs.len()), ("print(1)", 5, 2));
        assert_eq!(job.inputs[1].text, "5");
        assert!(!format!("{job:?}").contains("hidden"), "{job:?}");
    }

    #[test]
    fn without_a_program_there_is_nothing_to_run() {
        let score = code("{}").score(&test_rollout("no code", TESTS)).unwrap();
        assert_eq!((score.reward, score.info.as_deref()), (Some(0.0), Some("no program found")));
        let error = code("{}").score(&test_rollout("x", "{}")).unwrap_err();
        assert!(error.contains("`tests`"), "{error}");
        let refused = Code::configure(&r1x_plugin::parse_config(r#"{"extract":[]}"#).unwrap());
        assert!(refused.unwrap_err().contains("`extract`"));
    }
}
