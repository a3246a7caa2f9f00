//! The configuration of a reward from one table: what each key takes, its default, its JSON Schema.
//!
//! The table is the only place where a key is described.

use crate::{Map, Value, kind, refuse_unknown_keys};

/// What a key takes.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// True or false.
    Flag,
    /// A number within bounds.
    Number(f64, f64),
    /// A whole number within bounds.
    Whole(u64, u64),
    /// A text.
    Text,
    /// One of a few words.
    Choice(&'static [&'static str]),
    /// A list of words, each one of a few.
    Choices(&'static [&'static str]),
}

/// One key of a configuration.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name in the spec.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// Its default, as JSON; empty for a key that must be given.
    pub default: &'static str,
    /// What it does, in a few words.
    pub about: &'static str,
}

/// A configuration that has a value of the right kind for every key of its table.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings(Map<String, Value>);

impl Settings {
    /// Reads a configuration. The error says which key is wrong and what would be right.
    pub fn read(config: &Map<String, Value>, keys: &[Key]) -> Result<Self, String> {
        let names: Vec<&str> = keys.iter().map(|key| key.name).collect();
        refuse_unknown_keys(config, &names)?;
        let mut settings = Map::new();
        for key in keys {
            let value = match config.get(key.name) {
                Some(value) => value.clone(),
                None if key.default.is_empty() => {
                    return Err(format!("`{}` is missing: {}", key.name, key.about));
                }
                None => key.default.parse().map_err(|error| format!("`{}`: {error}", key.name))?,
            };
            if let Some(wanted) = key.kind.refuses(&value) {
                let given = match &value {
                    Value::Number(_) | Value::String(_) => value.to_string(),
                    other => kind(other).to_owned(),
                };
                return Err(format!("`{}` must be {wanted}, not {given}", key.name));
            }
            settings.insert(key.name.to_owned(), value);
        }
        Ok(Self(settings))
    }

    /// A [`Kind::Flag`].
    pub fn flag(&self, key: &str) -> bool {
        self.0.get(key).and_then(Value::as_bool).unwrap_or_default()
    }

    /// A [`Kind::Number`].
    pub fn number(&self, key: &str) -> f64 {
        self.0.get(key).and_then(Value::as_f64).unwrap_or_default()
    }

    /// A [`Kind::Whole`].
    pub fn whole(&self, key: &str) -> u64 {
        self.0.get(key).and_then(Value::as_u64).unwrap_or_default()
    }

    /// A [`Kind::Text`] or a [`Kind::Choice`].
    pub fn text(&self, key: &str) -> &str {
        self.0.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    /// A [`Kind::Choices`].
    pub fn texts(&self, key: &str) -> Vec<&str> {
        let items = self.0.get(key).and_then(Value::as_array).into_iter().flatten();
        items.filter_map(Value::as_str).collect()
    }
}

impl Kind {
    /// What it wants instead of this value; `None` when the value will do.
    fn refuses(self, value: &Value) -> Option<String> {
        let among = |words: &[&str], value: &Value| {
            value.as_str().is_some_and(|word| words.contains(&word))
        };
        match self {
            Self::Flag => (!value.is_boolean()).then(|| "true or false".to_owned()),
            Self::Text => (!value.is_string()).then(|| "a text".to_owned()),
            Self::Number(low, high) => {
                let fits = value.as_f64().is_some_and(|number| (low..=high).contains(&number));
                (!fits)
                    .then(|| format!("a number from {} to {}", Value::from(low), Value::from(high)))
            }
            Self::Whole(low, high) => {
                let fits = value.as_u64().is_some_and(|number| (low..=high).contains(&number));
                (!fits).then(|| format!("a whole number from {low} to {high}"))
            }
            Self::Choice(words) => {
                (!among(words, value)).then(|| format!("one of {}", words.join(", ")))
            }
            Self::Choices(words) => {
                let fits = value.as_array().is_some_and(|items| {
                    !items.is_empty() && items.iter().all(|item| among(words, item))
                });
                (!fits).then(|| format!("a list of {}", words.join(", ")))
            }
        }
    }

    fn schema(self) -> Value {
        let mut schema = Map::new();
        let mut put = |key: &str, value: Value| schema.insert(key.to_owned(), value);
        match self {
            Self::Flag => put("type", "boolean".into()),
            Self::Text => put("type", "string".into()),
            Self::Number(low, high) => {
                put("minimum", low.into());
                put("maximum", high.into());
                put("type", "number".into())
            }
            Self::Whole(low, high) => {
                put("minimum", low.into());
                put("maximum", high.into());
                put("type", "integer".into())
            }
            Self::Choice(words) => put("enum", words.to_vec().into()),
            Self::Choices(words) => {
                put("items", Self::Choice(words).schema());
                put("minItems", 1.into());
                put("type", "array".into())
            }
        };
        Value::Object(schema)
    }
}

/// The JSON Schema of a configuration with these keys.
pub fn schema(keys: &[Key]) -> String {
    let mut properties = Map::new();
    let mut required: Vec<Value> = Vec::new();
    for key in keys {
        let mut property = key.kind.schema();
        property["description"] = key.about.into();
        match key.default.parse::<Value>() {
            Ok(default) => property["default"] = default,
            Err(_) => required.push(key.name.into()),
        }
        properties.insert(key.name.to_owned(), property);
    }
    let mut whole = Map::new();
    whole.insert("type".to_owned(), "object".into());
    whole.insert("additionalProperties".to_owned(), false.into());
    whole.insert("properties".to_owned(), properties.into());
    if !required.is_empty() {
        whole.insert("required".to_owned(), required.into());
    }
    Value::Object(whole).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: &[Key] = &[
        Key { name: "strict", kind: Kind::Flag, default: "true", about: "refuse holes" },
        Key { name: "scale", kind: Kind::Number(0.0, 2.0), default: "1", about: "factor" },
        Key { name: "size", kind: Kind::Whole(1, 9), default: "3", about: "words" },
        Key { name: "parts", kind: Kind::Choices(&["a", "b"]), default: r#"["a"]"#, about: "sum" },
        Key { name: "mode", kind: Kind::Choice(&["x", "y"]), default: "", about: "how" },
    ];

    fn read(text: &str) -> Result<Settings, String> {
        Settings::read(&crate::parse_config(text).unwrap(), KEYS)
    }

    #[test]
    fn defaults_fill_what_is_not_said() {
        let settings = read(r#"{"mode":"y","size":4}"#).unwrap();
        assert!(settings.flag("strict"));
        assert_eq!(settings.number("scale"), 1.0);
        assert_eq!(settings.whole("size"), 4);
        assert_eq!(settings.text("mode"), "y");
        assert_eq!(settings.texts("parts"), ["a"]);
    }

    #[test]
    fn mistakes_are_named() {
        for (text, expected) in [
            ("{}", "`mode` is missing: how"),
            (r#"{"mode":"z"}"#, "`mode` must be one of x, y, not \"z\""),
            (r#"{"mode":"x","strict":1}"#, "`strict` must be true or false, not 1"),
            (r#"{"mode":"x","scale":3}"#, "`scale` must be a number from 0.0 to 2.0, not 3"),
            (r#"{"mode":"x","size":0}"#, "`size` must be a whole number from 1 to 9, not 0"),
            (r#"{"mode":"x","parts":[]}"#, "`parts` must be a list of a, b, not a list"),
            (
                r#"{"mode":"x","sice":1}"#,
                "unknown key `sice`: this reward takes strict, scale, size, parts, mode",
            ),
        ] {
            assert_eq!(read(text).unwrap_err(), expected, "{text}");
        }
    }

    #[test]
    fn the_schema_says_the_same() {
        let schema: Value = schema(KEYS).parse().unwrap();
        assert_eq!(schema["required"], Value::from(vec!["mode"]));
        assert_eq!(schema["properties"]["size"]["maximum"], 9);
        assert_eq!(schema["properties"]["parts"]["items"]["enum"][1], "b");
        assert_eq!(schema["properties"]["strict"]["default"], true);
        assert_eq!(schema["additionalProperties"], false);
    }
}
