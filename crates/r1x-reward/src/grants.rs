//! What a plugin was granted of the capabilities that it may ask for.

use std::fmt;
use std::sync::Arc;

use r1x_core::{Capability, Judge};

use crate::sandbox::Exec;

/// What somebody grants a plugin. Nothing is the default.
#[derive(Clone, Default)]
pub struct Grants {
    /// Whether it may read the files in its component.
    pub assets: bool,
    /// Where programs run.
    pub exec: Option<Exec>,
    /// Who answers for the frozen models.
    pub judge: Option<Arc<dyn Judge>>,
}

impl Grants {
    /// Whether this is among them.
    pub fn has(&self, capability: Capability) -> bool {
        match capability {
            Capability::Assets => self.assets,
            Capability::Exec => self.exec.is_some(),
            Capability::Judge => self.judge.is_some(),
        }
    }
}

impl fmt::Debug for Grants {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(Capability::ALL.iter().filter(|c| self.has(**c))).finish()
    }
}
