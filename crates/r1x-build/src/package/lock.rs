//! The lock beside a plugin: every package that its requirements come to, in one version, with the hash of its
//! file, in the form that pip reads.

use std::fmt::Write as _;

use super::requirement::{Requirement, key};

/// What stands before the requirements that a lock was made from.
const FOR: &str = "# for: ";
const HEAD: &str = "# Written by r1x: the packages of this reward, with the hashes of their files. Keep it under version\n\
     # control; without it the newest versions that fit are looked up again.\n";
const HASH: &str = "--hash=sha256:";

/// A package in one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pin {
    /// Its name.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: String,
    /// sha256 of its file, lower-case hex.
    pub(crate) sha256: String,
}

/// A lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lock {
    /// The requirements it was made from, as they are written.
    requirements: Vec<String>,
    /// Packages by name.
    pub(crate) pins: Vec<Pin>,
}

impl Lock {
    pub(crate) fn new(requirements: &[Requirement], mut pins: Vec<Pin>) -> Self {
        pins.sort_by_key(|pin| key(&pin.name));
        Self { requirements: requirements.iter().map(ToString::to_string).collect(), pins }
    }

    /// Whether it was made from these requirements.
    pub(crate) fn fits(&self, requirements: &[Requirement]) -> bool {
        requirements.iter().map(ToString::to_string).eq(self.requirements.iter().cloned())
    }

    /// The packages alone, which decide what is built.
    pub(crate) fn packages(&self) -> String {
        self.pins.iter().fold(String::new(), |mut text, Pin { name, version, sha256 }| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name}=={version} {HASH}{sha256}");
            text
        })
    }

    /// The whole lock as a text.
    pub(crate) fn text(&self) -> String {
        let requirements: String =
            self.requirements.iter().map(|one| format!("{FOR}{one}\n")).collect();
        format!("{HEAD}{requirements}{}", self.packages())
    }

    /// Reads a lock.
    ///
    /// # Errors
    /// The first line that is none of a lock, counted from 1, and what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut lock = Self { requirements: Vec::new(), pins: Vec::new() };
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if let Some(requirement) = line.strip_prefix(FOR) {
                lock.requirements.push(requirement.to_owned());
            } else if !line.is_empty() && !line.starts_with('#') {
                let pin = pin(line).ok_or_else(|| {
                    let expected = format!("a line is `name==version {HASH}...`");
                    (index + 1, format!("`{line}` pins no package: {expected}"))
                })?;
                lock.pins.push(pin);
            }
        }
        Ok(lock)
    }
}

fn pin(line: &str) -> Option<Pin> {
    let (named, sha256) = line.split_once(HASH)?;
    let (sha256, read) = (sha256.trim(), Requirement::parse(named).ok()?);
    let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    let version = match read.versions.as_slice() {
        [one] => one.strip_prefix("==")?,
        _ => return None,
    };
    let good = sha256.len() == 64 && sha256.chars().all(hex) && read.extras.is_empty();
    good.then(|| Pin { name: read.name, version: version.to_owned(), sha256: sha256.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock() -> Lock {
        let requirements: Vec<Requirement> =
            ["Zed[x]>=1", "a"].iter().map(|text| Requirement::parse(text).unwrap()).collect();
        let pin = |name: &str, digit: &str| Pin {
            name: name.to_owned(),
            version: "1.0".to_owned(),
            sha256: digit.repeat(64),
        };
        Lock::new(&requirements, vec![pin("Zed", "0"), pin("a", "f")])
    }

    #[test]
    fn a_lock_is_read_as_it_was_written() {
        let lock = lock();
        let text = lock.text();
        assert_eq!(Lock::parse(&text).unwrap(), lock);
        assert!(text.contains("\n# for: Zed[x]>=1\n# for: a\na==1.0 --hash=sha256:ffff"), "{text}");
        assert_eq!(lock.pins[1].name, "Zed");
        assert!(text.ends_with(&lock.packages()));
    }

    #[test]
    fn a_lock_fits_the_requirements_it_was_made_from() {
        let read = |texts: &[&str]| -> Vec<Requirement> {
            texts.iter().map(|text| Requirement::parse(text).unwrap()).collect()
        };
        let lock = lock();
        assert!(lock.fits(&read(&["Zed[x] >= 1", "a"])));
        for other in [&["a"][..], &["Zed[x]>=1"], &["Zed[x]>=2", "a"], &["Zed[x]>=1", "a", "b"]] {
            assert!(!lock.fits(&read(other)), "{other:?}");
        }
    }

    #[test]
    fn a_line_that_pins_nothing_is_told() {
        let good = "0".repeat(64);
        for line in [
            "a==1.0".to_owned(),
            format!("a>=1.0 --hash=sha256:{good}"),
            "a==1.0 --hash=sha256:12".to_owned(),
            format!("a==1.0 --hash=sha256:{} --index-url x", good),
            format!("-r x --hash=sha256:{good}"),
            format!("a==1.0 --hash=sha256:{}", "G".repeat(64)),
        ] {
            let (number, message) = Lock::parse(&format!("# x\n\n{line}\n")).unwrap_err();
            assert_eq!(number, 3);
            assert!(message.contains("pins no package"), "{message}");
        }
    }
}
