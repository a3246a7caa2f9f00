//! What differs between two plans, value by value.
//!
//! Paths are those of the spec, as `r1x plan` has them, wherever the plan only nests more deeply than the spec does;
//! entries with ids are named by these, whatever their places.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

/// A value that is not the same in two plans.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct PlanChange {
    /// Where it is, such as `stages.rl.grpo.lr`.
    pub path: String,
    /// In the first plan; none where it is not there.
    pub a: Option<Value>,
    /// In the second plan; none where it is not there.
    pub b: Option<Value>,
}

/// A value that has no further ones in it, and its place.
#[derive(Debug)]
struct Leaf {
    steps: Vec<String>,
    value: Value,
}

/// Names that stand between two names of the spec in a plan, each with the beginning of the path it is found on; `*`
/// is any one name.
const UNWRITTEN: [&[&str]; 7] = [
    &["stages", "*", "kind"],
    &["stages", "*", "kind", "*", "optimizer"],
    &["stages", "*", "kind", "*", "loss"],
    &["stages", "*", "kind", "*", "loss", "surrogate"],
    &["data", "*", "source"],
    &["rewards", "*", "judged_by"],
    &["rewards", "*", "shaping"],
];

/// Every value that differs: in the order of the first plan, what only the second one has at the end.
pub fn changes(a: &Value, b: &Value) -> Vec<PlanChange> {
    let (a, b) = (leaves(a), leaves(b));
    let names = names(a.iter().chain(&b));
    let value = |of: &[Leaf]| -> HashMap<String, Value> {
        of.iter().map(|leaf| (names[&leaf.steps].clone(), leaf.value.clone())).collect()
    };
    let (in_a, in_b) = (value(&a), value(&b));
    let mut seen = HashSet::new();
    let paths = a.iter().chain(&b).map(|leaf| &names[&leaf.steps]);
    paths
        .filter(|path| seen.insert(*path) && in_a.get(*path) != in_b.get(*path))
        .map(|path| PlanChange {
            path: path.clone(),
            a: in_a.get(path).cloned(),
            b: in_b.get(path).cloned(),
        })
        .collect()
}

/// A path for each place: short, unless two places would get the same one.
fn names<'l>(leaves: impl Iterator<Item = &'l Leaf>) -> HashMap<Vec<String>, String> {
    let places: HashSet<&Vec<String>> = leaves.map(|leaf| &leaf.steps).collect();
    let mut uses: HashMap<String, usize> = HashMap::new();
    places.iter().for_each(|steps| *uses.entry(short(steps)).or_default() += 1);
    let name = |steps: &Vec<String>| match short(steps) {
        short if uses[&short] == 1 => short,
        _ => steps.join("."),
    };
    places.into_iter().map(|steps| (steps.clone(), name(steps))).collect()
}

fn short(steps: &[String]) -> String {
    let is_written = |at: &usize| {
        let fits = |pattern: &&[&str]| {
            let mut pairs = pattern.iter().zip(steps);
            pattern.len() == at + 1
                && at + 1 < steps.len()
                && pairs.all(|(name, step)| *name == "*" || name == step)
        };
        !UNWRITTEN.iter().any(fits)
    };
    let written: Vec<&str> =
        (0..steps.len()).filter(is_written).map(|at| steps[at].as_str()).collect();
    written.join(".")
}

fn leaves(plan: &Value) -> Vec<Leaf> {
    let mut found = Vec::new();
    walk(plan, &mut Vec::new(), &mut found);
    found
}

/// Objects and lists of objects are gone into; a list of anything else is one value, and so is the order of a list whose
/// entries have ids.
fn walk(value: &Value, steps: &mut Vec<String>, found: &mut Vec<Leaf>) {
    let mut leaf = |value: Value, steps: &[String]| {
        found.push(Leaf { steps: steps.to_vec(), value });
    };
    let inner: Vec<(String, &Value)> = match value {
        Value::Object(entries) if !entries.is_empty() => {
            entries.iter().map(|(name, value)| (name.clone(), value)).collect()
        }
        Value::Array(entries) if !entries.is_empty() && entries.iter().all(Value::is_object) => {
            match ids(entries) {
                Some(ids) => {
                    leaf(Value::from(ids.clone()), steps);
                    ids.into_iter().zip(entries).collect()
                }
                None => (0..).map(|at: usize| at.to_string()).zip(entries).collect(),
            }
        }
        _ => {
            leaf(value.clone(), steps);
            return;
        }
    };
    for (name, value) in inner {
        steps.push(name);
        walk(value, steps, found);
        steps.pop();
    }
}

/// The ids of entries, where each has one of its own.
fn ids(entries: &[Value]) -> Option<Vec<String>> {
    let id = |entry: &Value| entry.get("id").and_then(Value::as_str).map(str::to_owned);
    let ids: Vec<String> = entries.iter().map(id).collect::<Option<_>>()?;
    let different: HashSet<&String> = ids.iter().collect();
    (different.len() == ids.len()).then_some(ids)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rows(a: &Value, b: &Value) -> Vec<(String, Option<Value>, Option<Value>)> {
        changes(a, b).into_iter().map(|change| (change.path, change.a, change.b)).collect()
    }

    #[test]
    fn values_are_found_by_the_ids_of_what_they_are_in() {
        let stage = |id: &str, lr: f64| json!({"id": id, "kind": {"sft": {"optimizer": {"lr": lr}, "steps": 2}}});
        let a = json!({"seed": 1, "stages": [stage("warm", 0.5), stage("on", 1.0)]});
        let b =
            json!({"seed": 1, "stages": [stage("new", 3.0), stage("on", 2.0), stage("warm", 0.5)]});
        let expected = [
            ("stages", Some(json!(["warm", "on"])), Some(json!(["new", "on", "warm"]))),
            ("stages.on.sft.lr", Some(json!(1.0)), Some(json!(2.0))),
            ("stages.new.id", None, Some(json!("new"))),
            ("stages.new.sft.lr", None, Some(json!(3.0))),
            ("stages.new.sft.steps", None, Some(json!(2))),
        ];
        let expected = expected.map(|(path, a, b)| (path.to_owned(), a, b));
        assert_eq!(rows(&a, &b), expected);
        assert_eq!(rows(&a, &a), []);
    }

    #[test]
    fn lists_of_values_are_one_value_and_lists_without_ids_are_counted() {
        let a =
            json!({"tags": ["x"], "data": [{"skip": 0}, {"skip": 1}], "models": {}, "lora": null});
        let b = json!({"tags": ["x", "y"], "data": [{"skip": 0}, {"skip": 2}], "models": {"m": 1}, "lora": null});
        let expected = [
            ("tags", Some(json!(["x"])), Some(json!(["x", "y"]))),
            ("data.1.skip", Some(json!(1)), Some(json!(2))),
            ("models", Some(json!({})), None),
            ("models.m", None, Some(json!(1))),
        ];
        assert_eq!(rows(&a, &b), expected.map(|(path, a, b)| (path.to_owned(), a, b)));
    }

    /// Two places whose short paths are equal are both told in full.
    #[test]
    fn no_value_hides_another() {
        let a = json!({"data": {"d": {"source": {"seed": 1}, "seed": 2}}});
        let b = json!({"data": {"d": {"source": {"seed": 3}, "seed": 2}}});
        let expected = [("data.d.source.seed".to_owned(), Some(json!(1)), Some(json!(3)))];
        assert_eq!(rows(&a, &b), expected);
    }
}
