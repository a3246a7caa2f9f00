//! Tells cargo that the crate embeds the migrations of the workspace.

fn main() {
    println!("cargo:rerun-if-changed=../../migrations");
}
