//! Tells cargo that the crate embeds the migrations of the workspace. Must not know what is in them.

fn main() {
    println!("cargo:rerun-if-changed=../../migrations");
}
