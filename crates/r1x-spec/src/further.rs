//! Further models of a run: each is the model of the run but for the keys that are written about it.
//!
//! So a reward model or a smaller student takes a line, and follows the policy where somebody changes that. The merge is
//! the one of specs that extend each other.

use crate::extends::{Conflicts, merge};
use crate::node::{Node, Value};
use crate::schema_tree::Shape;

/// The tree of a spec with its further models written out.
pub(crate) fn written_out(mut root: Node, shape: &Shape, conflicts: &mut Conflicts) -> Node {
    let Shape::Record(record) = shape else { return root };
    let Some(of_models) = record.field("model").map(|field| &field.shape) else { return root };
    let Some(policy) = root.get("model").filter(|model| model.entries().is_some()).cloned() else {
        return root;
    };
    let Value::Map(keys) = &mut root.value else { return root };
    let Some(models) = keys.iter_mut().find(|key| key.key == "models") else { return root };
    let Value::Map(models) = &mut models.node.value else { return root };
    for model in models.iter_mut().filter(|model| model.node.entries().is_some()) {
        let own = Node { value: Value::Null, span: model.node.span };
        let own = std::mem::replace(&mut model.node, own);
        model.node = merge(policy.clone(), own, of_models, conflicts);
    }
    root
}
