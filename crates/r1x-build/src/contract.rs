//! The contract between host and plugins as a text, and what shims need to know of it.

use wit_component::StringEncoding;
use wit_parser::{Resolve, SizeAlign, TypeDefKind, TypeId, WorldId};

use crate::error::BuildError;

/// The contract: every file of a plugin's interface, as one package.
pub(crate) const WIT: &str = include_str!("../../r1x-reward/wit/reward.wit");
/// The name a tool that wants a file is given it under.
pub(crate) const WIT_FILE: &str = "wit/reward.wit";
/// The world of a plugin without capabilities.
pub(crate) const WORLD: &str = "reward";

/// The records whose layout a shim in C has to meet, all of the interface `types`.
const RECORDS: [&str; 4] = ["rollout", "score", "part", "plugin-info"];

/// Where a record's fields lie in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Its name in the contract.
    pub(crate) name: &'static str,
    /// Bytes from one element of a list to the next.
    pub(crate) size: usize,
    /// Bytes before its last field.
    pub(crate) last: usize,
}

/// The layout of every record by the canonical ABI, for memories of 32 bits.
pub(crate) fn layouts() -> Result<Vec<Layout>, BuildError> {
    let (resolve, _) = world()?;
    let mut sizes = SizeAlign::default();
    sizes.fill(&resolve);
    RECORDS.iter().map(|name| layout(&resolve, &sizes, name).ok_or_else(|| missing(name))).collect()
}

fn layout(resolve: &Resolve, sizes: &SizeAlign, name: &'static str) -> Option<Layout> {
    let (_, interface) =
        resolve.interfaces.iter().find(|(_, known)| known.name.as_deref() == Some("types"))?;
    let id: TypeId = *interface.types.get(name)?;
    let TypeDefKind::Record(record) = &resolve.types[id].kind else { return None };
    let last = sizes.field_offsets(record.fields.iter().map(|field| &field.ty)).last()?.0;
    let size = sizes.size(&wit_parser::Type::Id(id)).size_wasm32();
    Some(Layout { name, size, last: last.size_wasm32() })
}

/// Writes the contract into a core module, so that it can be made a component.
pub(crate) fn embed(module: &mut Vec<u8>) -> Result<(), BuildError> {
    let (resolve, world) = world()?;
    wit_component::embed_component_metadata(module, &resolve, world, StringEncoding::UTF8)
        .map_err(|error| broken(&format!("{error:#}")))
}

fn world() -> Result<(Resolve, WorldId), BuildError> {
    let mut resolve = Resolve::default();
    let parsed = resolve
        .push_source(WIT_FILE, WIT)
        .and_then(|package| Ok((resolve.select_world(&[package], Some(WORLD))?, ())));
    let (world, ()) = parsed.map_err(|error| broken(&format!("{error:#}")))?;
    Ok((resolve, world))
}

fn missing(name: &str) -> BuildError {
    broken(&format!("it has no record `{name}`"))
}

fn broken(output: &str) -> BuildError {
    BuildError::Failed {
        what: "the contract inside r1x cannot be used".to_owned(),
        output: output.to_owned(),
        hint: "this is a bug of r1x".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_those_of_the_canonical_abi() {
        let found: Vec<(usize, usize)> =
            layouts().unwrap().iter().map(|layout| (layout.size, layout.last)).collect();
        // Worked by hand from the rules: fields in order, each at a multiple of its alignment.
        assert_eq!(found, [(80, 64), (40, 24), (16, 8), (104, 88)]);
    }
}
