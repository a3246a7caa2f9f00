//! The one test binary of the repository. A module per thing that no single crate can test.

mod architecture;
