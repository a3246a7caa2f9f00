//! The `r1x` command.

fn main() {
    std::process::exit(r1x::main());
}
