//! The error that crosses every port.

/// Which side of r1x an error belongs to; decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boundary {
    /// The spec is wrong. Exit 3.
    Spec,
    /// An input is missing or does not match. Exit 4.
    Data,
    /// The model cannot be built, loaded or saved. Exit 4.
    Model,
    /// A reward plugin failed beyond its policy. Exit 6.
    Reward,
    /// Memory, disk or device is exhausted or missing. Exit 7.
    Device,
    /// The store is locked, damaged or newer. Exit 8.
    Store,
    /// Training produced a value that is not finite. Exit 10.
    Diverged,
    /// Parts of r1x do not fit together: nothing the user gave is at fault. Exit 1.
    Internal,
}

/// An error as the loop and the command line see it: whose, what and where, how to mend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PortError {
    /// Whose error it is.
    pub boundary: Boundary,
    /// What happened and where.
    pub message: String,
    /// How to mend it.
    pub hint: Option<String>,
}

impl PortError {
    /// An error with a hint.
    pub fn new(boundary: Boundary, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { boundary, message: message.into(), hint: Some(hint.into()) }
    }
}
