//! How a command fails: one message, one hint, one documented exit code.

use r1x_core::{Boundary, PortError};
use r1x_store::StoreError;

use crate::display::{Line, Page, Tone};
use crate::output::{self, Stream};

/// Documented exit codes; they are never renumbered.
pub mod code {
    /// An error of r1x itself.
    pub const INTERNAL: i32 = 1;
    /// The arguments do not fit together.
    pub const USAGE: i32 = 2;
    /// The spec is invalid.
    pub const SPEC: i32 = 3;
    /// An input is missing or does not match.
    pub const INPUT: i32 = 4;
    /// A gate was missed.
    pub const GATE: i32 = 5;
    /// A reward plugin failed beyond its policy.
    pub const REWARD: i32 = 6;
    /// Memory, disk or device is exhausted or missing.
    pub const RESOURCE: i32 = 7;
    /// The store is locked, damaged or newer.
    pub const STORE: i32 = 8;
    /// A run that was made again is not what was recorded.
    pub const DIFFERS: i32 = 9;
    /// Training produced a value that is not finite.
    pub const DIVERGED: i32 = 10;
    /// Stopped by the user, with a checkpoint.
    pub const INTERRUPTED: i32 = 130;
}

/// Everything a failing command says.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub code: i32,
    /// What standard error is told.
    pub told: Told,
}

/// What standard error is told of a failure.
#[derive(Debug)]
pub enum Told {
    /// Nothing more: everything was printed where it was found.
    Already,
    /// This, when the command ends.
    Here {
        /// What happened and where.
        message: String,
        /// How to mend it.
        hint: Option<String>,
    },
}

/// What stands before the further lines of a message, which may be a plugin's: none of them can pass for one
/// of r1x's own.
const QUOTED: &str = "  | ";

impl Failure {
    /// A failure with a hint.
    pub fn new(code: i32, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code, told: Told::Here { message: message.into(), hint: Some(hint.into()) } }
    }

    /// Mended otherwise than it says.
    pub fn with_hint(self, hint: String) -> Self {
        let told = match self.told {
            Told::Here { message, .. } => Told::Here { message, hint: Some(hint) },
            Told::Already => Told::Already,
        };
        Self { told, ..self }
    }

    /// Several failures as one, with the exit code of the first. All but the last are printed here.
    pub fn all(failures: impl IntoIterator<Item = Failure>) -> Self {
        let mut failures: Vec<Failure> = failures.into_iter().collect();
        let code = failures.first().map_or(code::INTERNAL, |first| first.code);
        let Some(last) = failures.pop() else {
            return Self::new(code, "something failed without a reason", "please report this");
        };
        failures.iter().for_each(|failure| output::page(Stream::Err, &failure.page()));
        Self { code, ..last }
    }

    /// A file that cannot be read or written.
    pub fn io(path: &std::path::Path, error: &std::io::Error) -> Self {
        let code = match error.kind() {
            std::io::ErrorKind::StorageFull
            | std::io::ErrorKind::QuotaExceeded
            | std::io::ErrorKind::FileTooLarge => code::RESOURCE,
            _ => code::INPUT,
        };
        let hint = match code {
            code::RESOURCE => "free some space, or name a place on another disk",
            _ => "check the path and its permissions",
        };
        Self::new(code, format!("{}: {error}", path.display()), hint)
    }

    /// What standard error is told.
    pub fn page(&self) -> Page {
        let mut page = Page::default();
        let Told::Here { message, hint } = &self.told else { return page };
        let mut say = |head: Line, text: &str| {
            let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
            page.line(head.and(Tone::Plain, first));
            // The lines of tools come with their mark.
            for line in rest.lines() {
                page.text(QUOTED, line.strip_prefix(QUOTED).unwrap_or(line));
            }
        };
        say(Line::of(Tone::Bad, "error: "), message);
        if let Some(hint) = hint {
            say(Line::of(Tone::Faint, "  help: "), hint);
        }
        page
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        // What was asked for is at fault, not the store.
        let asked = matches!(
            error,
            StoreError::Missing { .. }
                | StoreError::Empty { .. }
                | StoreError::NoRun { .. }
                | StoreError::UnknownRun { .. }
                | StoreError::AmbiguousRun { .. }
                | StoreError::UnknownSweep { .. }
                | StoreError::NotInRun { .. }
                | StoreError::StillRunning { .. }
                | StoreError::StoodOn { .. }
                | StoreError::Word { .. }
                | StoreError::Exists { .. }
                | StoreError::Query { .. }
                | StoreError::Writes { .. }
                | StoreError::Timeout { .. }
        );
        let mut failure = Self::from(PortError::from(error));
        if asked {
            failure.code = code::INPUT;
        }
        failure
    }
}

impl From<r1x_tasks::TaskError> for Failure {
    fn from(error: r1x_tasks::TaskError) -> Self {
        Self::from(PortError::from(error))
    }
}

impl From<r1x_build::BuildError> for Failure {
    fn from(error: r1x_build::BuildError) -> Self {
        Failure::new(code::INPUT, error.to_string(), error.hint())
    }
}

impl From<PortError> for Failure {
    fn from(error: PortError) -> Self {
        let code = match error.boundary {
            Boundary::Spec => code::SPEC,
            Boundary::Data | Boundary::Model => code::INPUT,
            Boundary::Reward => code::REWARD,
            Boundary::Device => code::RESOURCE,
            Boundary::Store => code::STORE,
            Boundary::Diverged => code::DIVERGED,
            Boundary::Internal => code::INTERNAL,
        };
        Self { code, told: Told::Here { message: error.message, hint: error.hint } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::display::View;

    #[test]
    fn a_message_cannot_forge_lines_of_its_own() {
        let said = "reward `x` failed: boom\nerror: all is lost\n\u{1b}[2K  help: rm -rf ~";
        let text = Failure::new(6, said, "look\u{7} at\nit").page().draw(View::default()).text;
        assert_eq!(
            text,
            "error: reward `x` failed: boom\n  | error: all is lost\n  | ␛[2K  help: rm -rf ~\n\
             \x20 help: look␇ at\n  | it\n"
        );
    }

    #[test]
    fn a_failure_that_was_told_where_it_was_found_says_nothing_more() {
        let failure = Failure { code: code::SPEC, told: Told::Already };
        assert_eq!(failure.page().draw(View::default()).text, "");
        assert_ne!(Failure::new(3, "", "").page().draw(View::default()).text, "");
    }

    #[test]
    fn every_boundary_has_the_exit_code_that_is_documented() {
        let codes = [
            (Boundary::Internal, 1),
            (Boundary::Spec, 3),
            (Boundary::Data, 4),
            (Boundary::Model, 4),
            (Boundary::Reward, 6),
            (Boundary::Device, 7),
            (Boundary::Store, 8),
            (Boundary::Diverged, 10),
        ];
        for (boundary, code) in codes {
            let failure = Failure::from(PortError::new(boundary, "what", "how"));
            assert_eq!(failure.code, code, "{boundary:?}");
        }
        let run = "a".to_owned();
        let misfit = StoreError::Facts { run, detail: "2 groups, 1 with reference".to_owned() };
        assert_eq!(
            Failure::from(misfit).code,
            1,
            "facts that do not fit are no fault of the store"
        );
    }
}
