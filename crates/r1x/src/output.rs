//! What commands print. A reader that has seen enough (`r1x generate RUN | head`) ends the program quietly.
//!
//! The macros take the place of the standard ones, which panic when nobody reads. Must not know what is printed.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write as _, stdout};

/// Prints, or ends the program when it cannot.
pub fn print(text: Arguments<'_>) {
    let error = match stdout().lock().write_fmt(text) {
        Ok(()) => return,
        Err(error) => error,
    };
    if error.kind() == ErrorKind::BrokenPipe {
        std::process::exit(0);
    }
    eprintln!("error: cannot write the output: {error}");
    std::process::exit(crate::failure::code::RESOURCE);
}

/// Like `std::print!`.
macro_rules! print {
    ($($text:tt)*) => { $crate::output::print(format_args!($($text)*)) };
}

/// Like `std::println!`.
macro_rules! println {
    () => { $crate::output::print(format_args!("\n")) };
    ($($text:tt)*) => { $crate::output::print(format_args!("{}\n", format_args!($($text)*))) };
}
