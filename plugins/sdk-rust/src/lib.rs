//! What every r1x reward plugin written in Rust shares: the types of the contract, one trait, one macro.
//!
//! Beside them stand exact arithmetic, readers of text and of configurations, and the tests' tables of cases. The
//! contract itself is the WIT file of the r1x-reward crate; the types here are made from it, so they cannot drift
//! apart.

#[cfg(feature = "assets")]
pub mod assets;
#[cfg(feature = "exec")]
pub mod exec;
pub mod integer;
#[cfg(feature = "judge")]
pub mod judge;
pub mod language;
pub mod rational;
pub mod settings;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
pub mod text;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Once;

pub use serde_json::{Map, Value};

/// Types and exports made from the WIT file.
#[doc(hidden)]
#[allow(missing_docs)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../crates/r1x-reward/wit",
        world: "reward",
        pub_export_macro: true,
        default_bindings_module: "r1x_plugin::bindings",
    });
}

pub use bindings::r1x::reward::log::Level;
#[cfg(not(target_arch = "wasm32"))]
pub use testing::test_rollout;

pub use bindings::r1x::reward::types::{Error, Needs, Part, PluginInfo, Rollout, Score};

/// A reward. Implement it, then name the type in [`export_reward!`].
pub trait Reward: Sized + 'static {
    /// What the plugin says about itself.
    fn info() -> PluginInfo;

    /// Reads the configuration. The error says which key is wrong and what would be right.
    fn configure(config: &Map<String, Value>) -> Result<Self, String>;

    /// Judges one rollout. An error means that it cannot be judged at all; a wrong answer is a score.
    fn score(&self, rollout: &Rollout) -> Result<Score, String>;

    /// Judges a whole call. Override it when scores depend on each other.
    fn score_batch(&self, batch: &[Rollout]) -> Result<Vec<Score>, Error> {
        let judged = batch.iter().enumerate().map(|(position, rollout)| {
            let position = u32::try_from(position).unwrap_or(u32::MAX);
            self.score(rollout).map_err(|reason| Error::BadSample((position, reason)))
        });
        judged.collect()
    }
}

impl Score {
    /// A reward with the words that explain it.
    pub fn new(reward: f64, info: impl Into<String>) -> Self {
        Self { reward: Some(reward), parts: Vec::new(), info: Some(info.into()) }
    }

    /// The same score with one more part; a `bool` counts as 0 or 1.
    pub fn part(mut self, name: &str, value: impl Into<f64>) -> Self {
        self.parts.push(Part { name: name.to_owned(), value: value.into() });
        self
    }
}

/// Writes a message to the people who run the plugin. Natively, where there is no host, it goes nowhere.
pub fn log(level: Level, message: &str) {
    #[cfg(target_arch = "wasm32")]
    bindings::r1x::reward::log::write(level, message);
    #[cfg(not(target_arch = "wasm32"))]
    let _ = (level, message);
}

/// Sends panic messages to the host's log. Without it a panic in WebAssembly is a bare `unreachable`.
pub fn install_panic_hook() {
    static ONCE: Once = Once::new();
    if cfg!(target_arch = "wasm32") {
        ONCE.call_once(|| {
            std::panic::set_hook(Box::new(|panic| log(Level::Warn, &panic.to_string())));
        });
    }
}

/// The configuration as an object; nothing at all and `null` count as an empty one.
pub fn parse_config(text: &str) -> Result<Map<String, Value>, String> {
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(Value::Null) => Ok(Map::new()),
        Ok(other) => Err(format!("the configuration must be an object, not {}", kind(&other))),
        Err(error) => Err(format!("the configuration is not JSON: {error}")),
    }
}

/// Refuses every key that is not in `known`.
pub fn refuse_unknown_keys(config: &Map<String, Value>, known: &[&str]) -> Result<(), String> {
    match config.keys().find(|key| !known.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) if known.is_empty() => {
            Err(format!("unknown key `{key}`: this reward takes none"))
        }
        Some(key) => Err(format!("unknown key `{key}`: this reward takes {}", known.join(", "))),
    }
}

/// The columns of a rollout. Rollouts of a group have the same and stand side by side, so the last ones read are
/// kept.
pub fn parse_columns(rollout: &Rollout) -> Result<Rc<Map<String, Value>>, String> {
    type Last = (String, Rc<Map<String, Value>>);
    thread_local! {
        static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
    }
    let known = LAST.with_borrow(|last| {
        let (text, columns) = last.as_ref()?;
        (*text == rollout.columns).then(|| Rc::clone(columns))
    });
    if let Some(known) = known {
        return Ok(known);
    }
    let columns = match serde_json::from_str(&rollout.columns) {
        Ok(Value::Object(object)) => Rc::new(object),
        Ok(other) => return Err(format!("the columns must be an object, not {}", kind(&other))),
        Err(error) => return Err(format!("the columns are not JSON: {error}")),
    };
    LAST.set(Some((rollout.columns.clone(), Rc::clone(&columns))));
    Ok(columns)
}

/// What a reward reads in a problem's columns, made once for the rollouts of a problem that follow each other.
///
/// It changes nothing but the time: equal columns give equal readings.
#[derive(Debug)]
pub struct PerProblem<T> {
    last: RefCell<Option<Reading<T>>>,
}

/// The columns of a problem, and what was read in them.
type Reading<T> = (Rc<Map<String, Value>>, Rc<T>);

impl<T> Default for PerProblem<T> {
    fn default() -> Self {
        Self { last: RefCell::new(None) }
    }
}

impl<T> PerProblem<T> {
    /// The reading of a rollout's problem. A failure is not kept.
    ///
    /// # Errors
    /// When the columns are no JSON object, or `read` refuses them.
    pub fn of(
        &self,
        rollout: &Rollout,
        read: impl FnOnce(&Map<String, Value>) -> Result<T, String>,
    ) -> Result<Rc<T>, String> {
        let columns = parse_columns(rollout)?;
        // Equal columns are one object: parse_columns keeps the last.
        let known =
            self.last.borrow().as_ref().and_then(|(known, reading)| {
                Rc::ptr_eq(known, &columns).then(|| Rc::clone(reading))
            });
        if let Some(reading) = known {
            return Ok(reading);
        }
        let reading = Rc::new(read(&columns)?);
        self.last.replace(Some((columns, Rc::clone(&reading))));
        Ok(reading)
    }
}

/// The JSON type of a value, in words.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The text of a column: a text as it is, a number as it is written.
pub fn column_text(columns: &Map<String, Value>, name: &str) -> Result<String, String> {
    match columns.get(name) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Number(number)) => Ok(number.to_string()),
        Some(other) => {
            Err(format!("column `{name}` must be a text or a number, not {}", kind(other)))
        }
        None => Err(format!("column `{name}` is missing")),
    }
}

/// Makes a [`Reward`] type the plugin of this crate: exports what the host calls, keeps the configured
/// reward between `configure` and `score-batch`, and sends panics to the log.
#[macro_export]
macro_rules! export_reward {
    ($reward:ty) => {
        #[cfg(target_arch = "wasm32")]
        mod r1x_exports {
            use super::*;
            use std::cell::RefCell;
            use $crate::Reward as _;

            std::thread_local! {
                static REWARD: RefCell<Option<$reward>> = const { RefCell::new(None) };
            }

            // A name that no author gives to a reward, whose own names are all in scope here.
            struct R1xExports;

            impl $crate::bindings::Guest for R1xExports {
                fn info() -> $crate::PluginInfo {
                    $crate::install_panic_hook();
                    <$reward>::info()
                }

                fn configure(config_json: String) -> Result<(), $crate::Error> {
                    $crate::install_panic_hook();
                    let reward = $crate::parse_config(&config_json)
                        .and_then(|config| <$reward>::configure(&config))
                        .map_err($crate::Error::BadConfig)?;
                    REWARD.with(|slot| *slot.borrow_mut() = Some(reward));
                    Ok(())
                }

                fn score_batch(
                    batch: Vec<$crate::Rollout>,
                ) -> Result<Vec<$crate::Score>, $crate::Error> {
                    REWARD.with(|slot| match slot.borrow().as_ref() {
                        Some(reward) => reward.score_batch(&batch),
                        None => Err($crate::Error::Other("configure was not called".to_owned())),
                    })
                }
            }

            $crate::bindings::export!(R1xExports with_types_in $crate::bindings);
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_is_an_object_or_nothing() {
        assert!(parse_config("").unwrap().is_empty());
        assert!(parse_config(" null ").unwrap().is_empty());
        assert_eq!(parse_config(r#"{"a":1}"#).unwrap().len(), 1);
        assert!(parse_config("[1]").unwrap_err().contains("a list"));
        assert!(parse_config("{").unwrap_err().contains("not JSON"));
    }

    #[test]
    fn unknown_keys_are_named() {
        let config = parse_config(r#"{"known":1,"strange":2}"#).unwrap();
        let error = refuse_unknown_keys(&config, &["known"]).unwrap_err();
        assert!(error.contains("`strange`") && error.contains("known"));
        assert!(refuse_unknown_keys(&config, &[]).unwrap_err().contains("none"));
    }
}
