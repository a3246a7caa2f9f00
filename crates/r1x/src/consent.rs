//! Asking a person before something that cannot be taken back.

use std::io::{BufRead, IsTerminal};

use crate::output::{self, Stream};

/// What came of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It may be done.
    Yes,
    /// It may not.
    No,
    /// There is nobody to ask: no terminal.
    Nobody,
}

/// Asks a question that is answered with y or n; anything but a yes is a no. The question is the last of its lines.
pub fn ask(question: &str) -> Answer {
    if !std::io::stdin().is_terminal() || !output::is_terminal(Stream::Err) {
        return Answer::Nobody;
    }
    let (before, last) = question.rsplit_once('\n').unwrap_or(("", question));
    before.lines().for_each(|line| eprintln!("{line}"));
    eprintln!("{last} [y/N]");
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    let is_yes = read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes");
    if is_yes { Answer::Yes } else { Answer::No }
}
