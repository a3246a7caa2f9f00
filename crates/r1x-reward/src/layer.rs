//! Components that carry their author's files beside their code: asking one to read and check these files.
//!
//! The code of such a component, an interpreter with its libraries, is compiled once however often the files change.

use std::time::Duration;

use r1x_core::plan::LimitsPlan;

use crate::abi::Linked;
use crate::carried::Carried;
use crate::compile::Kind;
use crate::error::{Fault, RewardError};
use crate::grants::Grants;
use crate::guest::{Failure, Instance};
use crate::host::Host;

/// The export that reads the files.
const PREPARE: &str = "prepare";

/// What a component made of its author's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// What it needs of them, in a form of its own.
    pub layer: Vec<u8>,
    /// Modules that had to be loaded for them.
    pub late: Vec<String>,
}

/// Why a component made nothing of its author's files.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The component refuses the files, in its own words.
    #[error("{0}")]
    Refused(String),
    /// The component did not end in its time.
    #[error("it did not end in {} s, and was stopped", .0.as_secs_f64())]
    TimedOut(Duration),
    /// The component broke.
    #[error("{0}")]
    Broke(String),
    /// The component cannot be used at all.
    #[error(transparent)]
    Unusable(#[from] RewardError),
}

impl Host {
    /// Lets a component read its author's files, within these limits.
    ///
    /// # Errors
    /// When it refuses them, does not end, or is no such component.
    pub fn prepare(&self, component: &[u8], limits: &LimitsPlan) -> Result<Prepared, PrepareError> {
        let unusable = |fault: Fault| RewardError::new("the interpreter", fault);
        let (code, _) = self.engines().compile(Kind::Timed, component).map_err(unusable)?;
        let wrong = |error: wasmtime::Error| unusable(Fault::WrongTypes(format!("{error:#}")));
        let pre = Linked::new(self.engines().of(Kind::Timed), &code).map_err(wrong)?;
        let carried = Carried::by(component).map_err(|reason| unusable(Fault::TooMuch(reason)))?;
        let (layer, late) = Instance::prepare(
            &pre,
            self.engines().ticker(),
            limits,
            (&Grants::default(), &carried),
            PREPARE,
        )
        .map_err(|failure| match failure {
            Failure::Timeout { deadline } => PrepareError::TimedOut(deadline),
            other => PrepareError::Broke(other.sentence()),
        })?
        .map_err(PrepareError::Refused)?;
        Ok(Prepared { layer, late })
    }
}
