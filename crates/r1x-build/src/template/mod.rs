//! What `r1x plugin new` writes: one row per language, its files beside this one.

mod c;
mod javascript;
mod python;
mod rust;

/// A new plugin of one language.
pub struct Template {
    /// The language's word in a manifest.
    pub language: &'static str,
    /// The file to edit first.
    pub start: &'static str,
    /// Paths and texts; in both, `{{name}}` stands for the plugin's name.
    files: fn() -> Vec<(&'static str, String)>,
}

/// Every template; a new one is one more row.
const TEMPLATES: &[Template] = &[
    Template { language: "python", start: "reward.py", files: python::files },
    Template { language: "rust", start: "src/lib.rs", files: rust::files },
    Template { language: "c", start: "reward.c", files: c::files },
    Template { language: "js", start: "reward.js", files: javascript::files },
];

/// The template of a language.
pub fn find(language: &str) -> Option<&'static Template> {
    TEMPLATES.iter().find(|template| template.language == language)
}

/// Languages that have a template.
pub fn languages() -> Vec<&'static str> {
    TEMPLATES.iter().map(|template| template.language).collect()
}

impl Template {
    /// Its files for a plugin of this name: paths relative to the plugin's folder, and texts.
    pub fn files(&self, name: &str) -> Vec<(String, String)> {
        let filled = |text: &str| text.replace("{{name}}", name);
        (self.files)().iter().map(|(path, text)| (filled(path), filled(text))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;

    #[test]
    fn every_template_has_a_manifest_with_cases_and_the_file_to_start_with() {
        for template in TEMPLATES {
            let files = template.files("my-reward");
            let find = |path: &str| files.iter().find(|(known, _)| known == path);
            let (_, text) = find("plugin.toml").unwrap();
            let manifest = Manifest::parse("plugin.toml".as_ref(), text).unwrap();
            assert_eq!(manifest.plugin.name, "my-reward");
            assert_eq!(manifest.build.language.as_str(), template.language);
            assert!(manifest.tests.len() >= 2, "{}", template.language);
            assert!(find(template.start).is_some(), "{}", template.start);
            assert!(files.iter().all(|(_, text)| !text.contains("{{name}}")));
        }
        assert!(find("cobol").is_none());
        assert!(languages().contains(&"rust"));
    }
}
