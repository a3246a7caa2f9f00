//! The key `grant` of a reward: words for what its plugin may ask for beyond text.

use r1x_core::Capability;
use serde::Serialize;

use crate::node::Node;
use crate::read::{At, Reader, Term, words};
use crate::schema_tree::{Range, Shape};

words!(Capability {
    "assets" => Assets, "to read the files in its own component";
    "exec" => Exec, "to run programs in sandboxes of their own";
    "judge" => Judge, "to ask the models under `judges`";
});

/// A list of capabilities.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grant(pub Vec<At<Capability>>);

impl Grant {
    /// The capabilities, each once, in a fixed order.
    pub fn capabilities(&self) -> Vec<Capability> {
        let granted = |known: &Capability| self.0.iter().any(|granted| granted.value == *known);
        Capability::ALL.into_iter().filter(granted).collect()
    }
}

impl Serialize for Grant {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|granted| granted.as_str()))
    }
}

impl Term for Grant {
    fn shape(range: Range) -> Shape {
        Vec::<At<Capability>>::shape(range)
    }

    fn read(node: &Node, range: Range, reader: &mut Reader) -> Option<Self> {
        Vec::read(node, range, reader).map(Grant)
    }
}
