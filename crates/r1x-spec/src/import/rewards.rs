//! Reward functions of other systems by their names, and the rewards of r1x that do the like.

use super::draft;
use super::filling::Filling;

/// The key with the weights of rewards, in the systems that have one.
const WEIGHTS: &str = "reward_weights";

/// A setting of a plugin.
#[derive(Clone, Copy, Debug)]
pub(crate) enum With {
    /// A value as YAML.
    Is(&'static str),
    /// The value of a key of the recipe.
    Of(&'static str),
}

/// One reward of r1x.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Made {
    pub id: &'static str,
    /// The component, by its name.
    pub plugin: &'static str,
    pub with: &'static [(&'static str, With)],
    /// What the weight of the recipe is multiplied by.
    pub factor: f64,
    /// The reward that must give 1 for this one to count.
    pub only_if: &'static str,
    pub grant: &'static str,
}

impl Made {
    /// A reward by a component.
    pub const fn by(
        id: &'static str,
        plugin: &'static str,
        with: &'static [(&'static str, With)],
    ) -> Self {
        Self { id, plugin, with, factor: 1.0, only_if: "", grant: "" }
    }

    /// The reward, counted only where another one gives 1.
    pub const fn only_if(self, reward: &'static str) -> Self {
        Self { only_if: reward, ..self }
    }

    /// The reward with its weight multiplied.
    pub const fn times(self, factor: f64) -> Self {
        Self { factor, ..self }
    }

    /// The reward with what its plugin may ask for.
    pub const fn granted(self, grant: &'static str) -> Self {
        Self { grant, ..self }
    }
}

/// A reward function of another system.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RewardRow {
    pub name: &'static str,
    /// The rewards that do the like; none where there are none.
    pub makes: &'static [Made],
    /// Columns that the rewards of r1x read, by the column that the function reads.
    pub columns: &'static [(&'static str, &'static str)],
    /// What is different about the rewards of r1x, or why there are none.
    pub note: &'static str,
}

/// What a recipe's rewards became.
#[derive(Debug, Default)]
pub(crate) struct Rewards {
    /// The ids that the stage scores.
    pub ids: Vec<String>,
    /// Columns that they read: r1x's name and the file's.
    pub columns: Vec<(&'static str, &'static str)>,
    /// The reward that says whether a completion is right.
    pub grade: Option<String>,
}

/// Writes the rewards that functions of these names and weights become. `key` is what names them in the recipe.
pub(crate) fn write(
    filling: &mut Filling<'_>,
    key: &'static str,
    rows: &'static [RewardRow],
    names: &[String],
    weights: &[f64],
) -> Rewards {
    let mut rewards = Rewards::default();
    for (at, name) in names.iter().enumerate() {
        let weight = weights.get(at).copied().unwrap_or(1.0);
        match rows.iter().find(|row| row.name == name) {
            None => own(filling, &mut rewards, key, name, weight),
            Some(row) => {
                let told = if row.note.is_empty() {
                    String::new()
                } else {
                    format!("`{name}`: {}", row.note)
                };
                if row.makes.is_empty() {
                    filling.tell_unsupported(key, &told);
                    filling.missing.push((key, name.clone()));
                    own(filling, &mut rewards, key, name, weight);
                    continue;
                }
                filling.tell_difference(key, &told);
                for made in row.makes {
                    one(filling, &mut rewards, key, made, weight);
                }
                rewards.columns.extend(row.columns);
            }
        }
    }
    needed(filling, &mut rewards, key, rows);
    if rewards.ids.is_empty() {
        let text = "write a reward: `r1x plugin new` makes one, and a file with a function of Python will do \
                    (docs/first-reward.md)";
        filling.fill_in("rewards.reward.plugin", &[], text);
        filling.set_aside("rewards.reward.plugin", "./reward.py", "to be written");
        rewards.ids.push("reward".to_owned());
    }
    let ids = draft::texts(rewards.ids.iter().map(String::as_str));
    filling.set("STAGE.rewards", &ids, &[key]);
    rewards.columns.sort_unstable();
    rewards.columns.dedup();
    rewards
}

/// Rewards that conditions name and the recipe does not score: they decide and do not count.
fn needed(
    filling: &mut Filling<'_>,
    rewards: &mut Rewards,
    key: &'static str,
    rows: &'static [RewardRow],
) {
    let all = || rows.iter().flat_map(|row| row.makes.iter().map(move |made| (row, made)));
    let missing: Vec<&str> = all()
        .filter(|(_, made)| rewards.ids.iter().any(|id| id == made.id))
        .map(|(_, made)| made.only_if)
        .filter(|id| !id.is_empty() && !rewards.ids.iter().any(|known| known == id))
        .collect();
    for id in missing {
        let found = all().find(|(_, made)| made.id == id);
        if let Some((row, made)) = found.filter(|_| !rewards.ids.iter().any(|known| known == id)) {
            one(filling, rewards, key, made, 0.0);
            rewards.columns.extend(row.columns);
        }
    }
}

fn one(
    filling: &mut Filling<'_>,
    rewards: &mut Rewards,
    key: &'static str,
    made: &'static Made,
    weight: f64,
) {
    if rewards.ids.iter().any(|id| id == made.id) {
        return;
    }
    let path = |rest: &str| format!("rewards.{}.{rest}", made.id);
    let plugin = format!("{}/{}.wasm", filling.beside.plugins, made.plugin);
    filling.set(&path("plugin"), &draft::text(&plugin), &[key]);
    for (name, with) in made.with {
        let place = path(&format!("with.{name}"));
        match with {
            With::Is(yaml) => filling.set_aside(&place, yaml, ""),
            With::Of(theirs) => {
                if let Some(value) = filling.number(theirs) {
                    filling.set(&place, &draft::number(value), &[theirs]);
                }
            }
        }
    }
    write_weight(filling, made.id, weight * made.factor);
    if !made.only_if.is_empty() {
        filling.set_aside(&path("only_if.reward"), made.only_if, "");
        filling.set_aside(&path("only_if.at_least"), "1", "");
    }
    if !made.grant.is_empty() {
        filling.set_aside(&path("grant"), &format!("[{}]", made.grant), "");
    }
    // What judges whether an answer is right names a column with it; what judges form does not.
    let judges = ["math", "code", "gsm8k", "match"].contains(&made.plugin);
    let has_pattern = made.with.iter().any(|(name, _)| *name == "pattern");
    if rewards.grade.is_none() && judges && !has_pattern {
        rewards.grade = Some(made.id.to_owned());
    }
    rewards.ids.push(made.id.to_owned());
}

fn write_weight(filling: &mut Filling<'_>, id: &str, weight: f64) {
    let path = format!("rewards.{id}.weight");
    match filling.is_given(WEIGHTS) {
        true => filling.set(&path, &draft::number(weight), &[WEIGHTS]),
        false => filling.set_aside(&path, &draft::number(weight), ""),
    }
}

/// A function of somebody's own.
fn own(
    filling: &mut Filling<'_>,
    rewards: &mut Rewards,
    key: &'static str,
    name: &str,
    weight: f64,
) {
    let last = name.rsplit(['.', '/']).next().unwrap_or(name);
    let id = super::common::name(last);
    if rewards.ids.contains(&id) {
        return;
    }
    let path = format!("rewards.{id}.plugin");
    let file = draft::text(&format!("./{id}.py"));
    filling.set(&path, &file, &[key]);
    write_weight(filling, &id, weight);
    let text = format!(
        "write the function `{name}` into this file, by the name `reward`; what it imports must be plain Python \
         (docs/first-reward.md)"
    );
    filling.fill_in(&path, &[key], text);
    rewards.ids.push(id);
}
