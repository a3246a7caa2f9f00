//! A key of another system and what becomes of it: the rows that the tables of systems are made of.
//!
//! A key that gains a counterpart is a change of one row; nothing else knows it.

/// What stands in a path for the stage that a recipe becomes.
pub(crate) const STAGE: &str = "STAGE";

/// What a recipe trains by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// Supervised fine-tuning.
    Sft,
    /// Reinforcement learning from groups of completions.
    Grpo,
}

impl Method {
    /// The word for it in a spec.
    pub const fn word(self) -> &'static str {
        match self {
            Method::Sft => "sft",
            Method::Grpo => "grpo",
        }
    }

    /// The path of the stage that a recipe becomes, which has this id.
    pub const fn stage(self) -> &'static str {
        match self {
            Method::Sft => "stages.sft.sft",
            Method::Grpo => "stages.rl.grpo",
        }
    }

    /// A path in which `STAGE` stands for the stage.
    pub fn path(self, path: &str) -> String {
        path.replace(STAGE, self.stage())
    }
}

/// What a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// A number.
    Number,
    /// A whole number.
    Whole,
    /// `true` or `false`.
    Flag,
    /// Text, also a number or a truth value as text.
    Text,
    /// A list of texts, or one text.
    Texts,
    /// Whatever it holds is of no interest.
    Anything,
}

impl Takes {
    /// "a whole number", for messages.
    pub const fn phrase(self) -> &'static str {
        match self {
            Takes::Number => "a number",
            Takes::Whole => "a whole number",
            Takes::Flag => "`true` or `false`",
            Takes::Text => "text",
            Takes::Texts => "a list of texts",
            Takes::Anything => "anything",
        }
    }
}

/// What there is no counterpart for because r1x needs none, by what it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Group {
    /// Another program that samples.
    Sampler,
    /// Several devices and machines.
    Devices,
    /// What is computed with, and how it fits into memory.
    Kernels,
    /// How rows are read and moved.
    Loading,
    /// What is shown and where it is sent.
    Logging,
    /// Publishing of models.
    Hub,
    /// Where files lie.
    Files,
    /// A part of the other system that this recipe does not turn on, or that decides nothing.
    Idle,
}

impl Group {
    /// All of them, in the order in which they are told.
    pub const ALL: [Group; 8] = [
        Group::Sampler,
        Group::Devices,
        Group::Kernels,
        Group::Loading,
        Group::Logging,
        Group::Hub,
        Group::Files,
        Group::Idle,
    ];

    /// Why r1x needs no such setting.
    pub const fn why(self) -> &'static str {
        match self {
            Group::Sampler => "sampling: r1x samples with the kernels that train",
            Group::Devices => "devices: r1x is one process",
            Group::Kernels => {
                "kernels and memory: r1x has its own, and results do not depend on them"
            }
            Group::Loading => "loading of rows: r1x reads them before it begins",
            Group::Logging => "logging: r1x records everything in its store",
            Group::Hub => "hubs: r1x sends nothing anywhere",
            Group::Files => "files: `--store` says where a run is kept",
            Group::Idle => "parts that are off, or that decide nothing here",
        }
    }
}

/// A word that a key may have, and the settings that it stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Word {
    pub theirs: &'static str,
    /// Paths and values.
    pub ours: &'static [(&'static str, &'static str)],
    /// What is different about them; empty where nothing is.
    pub differs: &'static str,
    /// Why r1x does not have it, where it does not; the settings are then the nearest.
    pub lacks: &'static str,
}

impl Word {
    /// A word that means what the settings say.
    pub const fn is(theirs: &'static str, ours: &'static [(&'static str, &'static str)]) -> Self {
        Self { theirs, ours, differs: "", lacks: "" }
    }

    /// The word with what is different about its settings.
    pub const fn but(self, differs: &'static str) -> Self {
        Self { differs, ..self }
    }

    /// The word of which r1x has the nearest settings only.
    pub const fn lacking(self, lacks: &'static str) -> Self {
        Self { lacks, ..self }
    }
}

/// What becomes of a key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Becomes {
    /// The value of this path, as it is.
    Key(&'static str),
    /// What its word stands for.
    Words(&'static [Word]),
    /// What its word stands for, where the file of the system finds that it counts.
    Chosen(&'static [Word]),
    /// A part of the values of these paths, which the file of the system computes.
    Part(&'static [&'static str]),
    /// Nothing, because r1x does not have it; the row's note says why. With this value it is off.
    Nothing {
        /// The value at which it is off.
        off: &'static str,
    },
    /// Nothing, because r1x needs no such setting.
    NoMatter(Group),
}

/// A key of another system. One that ends with `*` stands for all that begin so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub key: &'static str,
    /// What the recipe trains by where the key is known; everything where it is `None`.
    pub method: Option<Method>,
    pub takes: Takes,
    /// What holds when it is left out, as YAML; empty where that is nothing.
    pub default: &'static str,
    pub becomes: Becomes,
    /// What is different about it, or why r1x does not have it; empty where nothing is to be said.
    pub note: &'static str,
}

impl Row {
    const fn new(key: &'static str, takes: Takes, default: &'static str, becomes: Becomes) -> Self {
        Self { key, method: None, takes, default, becomes, note: "" }
    }

    /// A key whose value is that of a path.
    pub const fn key(
        key: &'static str,
        takes: Takes,
        default: &'static str,
        path: &'static str,
    ) -> Self {
        Self::new(key, takes, default, Becomes::Key(path))
    }

    /// A key with one of a few words.
    pub const fn words(key: &'static str, default: &'static str, words: &'static [Word]) -> Self {
        Self::new(key, Takes::Text, default, Becomes::Words(words))
    }

    /// A key with one of a few words, which does not always count.
    pub const fn chosen(key: &'static str, default: &'static str, words: &'static [Word]) -> Self {
        Self::new(key, Takes::Text, default, Becomes::Chosen(words))
    }

    /// A key that values of these paths are computed from.
    pub const fn part(
        key: &'static str,
        takes: Takes,
        default: &'static str,
        paths: &'static [&'static str],
    ) -> Self {
        Self::new(key, takes, default, Becomes::Part(paths))
    }

    /// A key that r1x does not have, and why; it is off with its default.
    pub const fn nothing(
        key: &'static str,
        takes: Takes,
        off: &'static str,
        why: &'static str,
    ) -> Self {
        Self { note: why, ..Self::new(key, takes, off, Becomes::Nothing { off }) }
    }

    /// A key that r1x needs no setting for.
    pub const fn no_matter(key: &'static str, group: Group) -> Self {
        Self::new(key, Takes::Anything, "", Becomes::NoMatter(group))
    }

    /// The row for recipes that train by this method only.
    pub const fn of(self, method: Method) -> Self {
        Self { method: Some(method), ..self }
    }

    /// The row with what is different about it.
    pub const fn but(self, note: &'static str) -> Self {
        Self { note, ..self }
    }

    /// Whether it is about a key of a recipe that trains by this method.
    pub fn is_about(&self, key: &str, method: Method) -> bool {
        self.is_of(method) && self.matches(key)
    }

    /// Whether it is known to recipes that train by this method.
    pub fn is_of(&self, method: Method) -> bool {
        self.method.is_none_or(|of| of == method)
    }

    /// The key, where it does not stand for several.
    pub fn whole_key(&self) -> Option<&'static str> {
        Some(self.key).filter(|key| !key.ends_with('*'))
    }

    /// Whether it is about a key.
    pub fn matches(&self, key: &str) -> bool {
        match self.key.strip_suffix('*') {
            Some(begin) => key.starts_with(begin),
            None => self.key == key,
        }
    }
}

/// The rows of a system.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table {
    /// The system with the version whose defaults are meant, for people.
    pub version: &'static str,
    /// Rows in parts; the first that is about a key counts.
    pub parts: &'static [&'static [Row]],
    /// Defaults that take the place of those in the rows.
    pub defaults: &'static [(&'static str, &'static str)],
}

impl Table {
    /// All rows, those first that count first.
    pub fn rows(&self) -> impl Iterator<Item = &'static Row> + use<> {
        self.parts.iter().flat_map(|part| part.iter())
    }

    /// The row of a key; whole keys come before beginnings.
    pub fn row(&self, key: &str, method: Method) -> Option<&'static Row> {
        let about = || self.rows().filter(|row| row.is_about(key, method));
        about().find(|row| row.key == key).or_else(|| about().next())
    }

    /// Whether a row is the one that counts for its key.
    pub fn counts(&self, row: &Row, method: Method) -> bool {
        self.row(row.key, method).is_some_and(|first| std::ptr::eq(first, row))
    }

    /// What holds for a row whose key is left out, as YAML.
    pub fn default_of(&self, row: &Row) -> &'static str {
        let other = self.defaults.iter().find(|(key, _)| *key == row.key);
        other.map_or(row.default, |(_, default)| default)
    }

    /// What a recipe trains by, as told by keys that only one method has; `None` where none is among them.
    pub fn method<'k>(&self, keys: impl Iterator<Item = &'k str> + Clone) -> Option<Method> {
        // Reinforcement first: a recipe with both is one of reinforcement with a key too many.
        [Method::Grpo, Method::Sft].into_iter().find(|method| {
            let other = if *method == Method::Grpo { Method::Sft } else { Method::Grpo };
            keys.clone().any(|key| {
                self.row(key, *method).is_some_and(|row| row.method.is_some())
                    && self.row(key, other).is_none()
            })
        })
    }
}
