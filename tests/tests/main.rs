//! The one test binary of the repository. A module per thing that no single crate can test.

mod architecture;
mod extending;
mod proofs;

/// The top of the repository.
fn root() -> std::path::PathBuf {
    architecture::root()
}
