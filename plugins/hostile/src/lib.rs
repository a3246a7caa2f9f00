//! A guest that misbehaves on request, for the tests of the host.
//!
//! Not a reward for training. The first word of a completion says what to do, the second is its number; `give 0.5`
//! is the good behaviour among them.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use r1x_plugin::{Error, Level, Map, Needs, PluginInfo, Reward, Rollout, Score, Value};

/// Rollouts this instance has seen: what a plugin must not base scores on.
static SEEN: AtomicU64 = AtomicU64::new(0);

/// The guest. Its configuration `{"groups": true}` asks for nothing, `{"refuse": true}` is refused,
/// `{"spin": true}` never returns from `configure`; `{"one": "always"}` gives every call a single score,
/// `{"one": "later"}` every call with something written in it.
pub struct Hostile {
    one: Option<String>,
}

impl Reward for Hostile {
    fn info() -> PluginInfo {
        PluginInfo {
            name: "hostile".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            description: "Misbehaves on request".to_owned(),
            needs: Needs::PROMPT | Needs::METADATA,
            columns: vec!["wanted".to_owned()],
            optional_columns: vec!["maybe".to_owned()],
            parts: vec!["declared".to_owned()],
            min: Some(-1.0),
            max: Some(1.0),
            config_schema: Some(r#"{"type":"object"}"#.to_owned()),
        }
    }

    fn configure(config: &Map<String, Value>) -> Result<Self, String> {
        let wants = |key: &str| config.get(key) == Some(&Value::Bool(true));
        if wants("refuse") {
            return Err("`refuse` must not be true".to_owned());
        }
        if wants("spin") {
            spin();
        }
        Ok(Self { one: config.get("one").and_then(Value::as_str).map(str::to_owned) })
    }

    fn score(&self, rollout: &Rollout) -> Result<Score, String> {
        SEEN.fetch_add(1, Ordering::Relaxed);
        let mut words = rollout.completion.split_whitespace();
        let order = words.next().unwrap_or_default();
        let number = words.next().and_then(|word| word.parse().ok()).unwrap_or(0.0);
        let mut score = Score::new(if order == "give" { number } else { 0.0 }, order);
        match order {
            "loop" => spin(),
            "backtrack" => score.reward = Some(f64::from(backtrack(&"a".repeat(number as usize)))),
            "panic" => panic!("asked to panic with {number}"),
            "trap" => trap(),
            "exit" => std::process::exit(7),
            "file" => score.info = Some(outcome(std::fs::read("/etc/passwd"))),
            "write" => score.info = Some(outcome(std::fs::write("left-behind", "x"))),
            "socket" => score.info = Some(outcome(std::net::TcpStream::connect("127.0.0.1:22"))),
            "thread" => score.info = Some(outcome(std::thread::Builder::new().spawn(|| 1))),
            "environment" => score.info = Some(format!("{} variables", std::env::vars().count())),
            "clock" => score.info = Some(format!("{:?}", std::time::SystemTime::now())),
            "bomb" => bomb(),
            "recurse" => score.reward = Some(recurse(1) as f64),
            "refuse" => return Err("asked to refuse".to_owned()),
            "flood" => (0..number as u64).for_each(|line| {
                r1x_plugin::log(Level::Debug, &format!("line {line}"));
            }),
            "shout" => r1x_plugin::log(Level::Warn, &"é".repeat(number as usize)),
            "nan" => score.reward = Some(f64::NAN),
            "infinite" => score.reward = Some(f64::INFINITY),
            "seen" => score.reward = Some(SEEN.load(Ordering::Relaxed) as f64 / 1024.0),
            "abstain" => score.reward = None,
            "part" => score = score.part("declared", number),
            "partnan" => score = score.part("declared", f64::NAN),
            "undeclared" => score = score.part("undeclared", 1.0),
            "talk" => score.info = Some("é".repeat(number as usize)),
            "echo" => score.info = Some(echo(rollout)),
            _ => {}
        }
        Ok(score)
    }

    fn score_batch(&self, batch: &[Rollout]) -> Result<Vec<Score>, Error> {
        let mut scores = Vec::new();
        let written = batch.iter().any(|rollout| !rollout.completion.is_empty());
        match self.one.as_deref() {
            Some("always") => return Ok(vec![Score::new(1.0, "the only one")]),
            Some("later") if written => return Ok(vec![Score::new(1.0, "the only one")]),
            _ => {}
        }
        for (position, rollout) in batch.iter().enumerate() {
            match rollout.completion.as_str() {
                "short" => {}
                "many" => scores.resize_with(5_000_000, || Score::new(0.0, "")),
                "one" => return Ok(vec![Score::new(1.0, "the only one")]),
                "lonely" => {
                    assert!(batch.len() < 2, "asked to be alone");
                    scores.push(Score::new(1.0, "alone"));
                }
                "crowd" => scores.push(Score::new(batch.len() as f64 / 1024.0, "")),
                "group" => scores.push(Score::new(f64::from(rollout.group) / 1024.0, "")),
                "fail" => return Err(Error::Other("asked to fail".to_owned())),
                _ => scores.push(
                    self.score(rollout)
                        .map_err(|reason| Error::BadSample((position as u32, reason)))?,
                ),
            }
        }
        Ok(scores)
    }
}

/// Everything the host passed, for the tests of what is passed.
fn echo(rollout: &Rollout) -> String {
    format!(
        "id={} group={} prompt={:?} tokens={}+{} truncated={} stop={:?} columns={} metadata={:?}",
        rollout.id,
        rollout.group,
        rollout.prompt,
        rollout.prompt_tokens,
        rollout.completion_tokens,
        rollout.truncated,
        rollout.stop_reason,
        rollout.columns,
        rollout.metadata
    )
}

fn spin() {
    let mut turns = 0u64;
    loop {
        turns = black_box(turns).wrapping_add(1);
    }
}

/// Matches `(a|aa)+b` the way a backtracking engine does: every way to cut the text is tried.
fn backtrack(text: &str) -> bool {
    let rest =
        |start: &str| text.strip_prefix(start).is_some_and(|rest| backtrack(black_box(rest)));
    text.starts_with('b') || rest("a") | rest("aa")
}

fn trap() -> ! {
    #[cfg(target_arch = "wasm32")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_arch = "wasm32"))]
    std::process::abort();
}

/// What came of trying to leave the sandbox, in words.
fn outcome<T>(result: std::io::Result<T>) -> String {
    match result {
        Ok(_) => "reached".to_owned(),
        Err(error) => format!("denied: {error}"),
    }
}

fn bomb() {
    let mut hoard: Vec<Vec<u8>> = Vec::new();
    loop {
        hoard.push(black_box(vec![1; 1 << 20]));
    }
}

#[allow(unconditional_recursion)]
fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    recurse(depth + 1) + frame[(depth % 64) as usize]
}

r1x_plugin::export_reward!(Hostile);
