//! The two streams: the only place of the command that writes to them.
//!
//! Whoever reads may go away at any time (`r1x ls | head -1`, a closed terminal): what nobody reads is dropped, and
//! nothing stops for it, least of all a run. The macros take the place of the standard ones, which panic then. They
//! print one line each, whatever is in it.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::{Mutex, OnceLock, PoisonError};

use indicatif::ProgressBar;
use r1x_core::shown;

use crate::display::{Cut, Ink, Line, Page, Tone, View};

/// Where a command can print to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Results.
    Out,
    /// Everything else.
    Err,
}

/// What was asked of the looks of both streams.
#[derive(Clone, Copy, Debug)]
pub struct Looks {
    /// Colour: `None` leaves it to the stream.
    pub color: Option<Ink>,
    /// How much of a line is shown.
    pub extent: Extent,
}

/// How much of a line is shown on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// As much as fits.
    Fitted,
    /// All of it.
    Everything,
}

/// What is known of the streams of this process. They are the process's own, and so is this.
#[derive(Default)]
struct Streams {
    looks: OnceLock<Looks>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Why standard output takes no more.
    lost: Option<ErrorKind>,
    /// What is drawn at the bottom of the terminal, over which lines have to be printed.
    bar: Option<ProgressBar>,
}

static STREAMS: OnceLock<Streams> = OnceLock::new();

fn streams() -> &'static Streams {
    STREAMS.get_or_init(Streams::default)
}

fn with_state<T>(work: impl FnOnce(&mut State) -> T) -> T {
    work(&mut streams().state.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Says once, at the start, how the streams are to look.
pub fn set_looks(looks: Looks) {
    // Only the command line calls this, before anything is printed.
    let _ = streams().looks.set(looks);
}

/// How a stream shows things.
pub fn view(stream: Stream) -> View {
    let terminal = is_terminal(stream);
    let looks = streams().looks.get();
    let quiet = || {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        set("NO_COLOR") || std::env::var_os("TERM").is_some_and(|term| term == "dumb")
    };
    let by_itself = || if terminal && !quiet() { Ink::Colored } else { Ink::Plain };
    let fitted = looks.is_none_or(|looks| looks.extent == Extent::Fitted);
    View {
        width: if terminal && fitted { columns(stream) } else { None },
        color: looks.and_then(|looks| looks.color).unwrap_or_else(by_itself),
    }
}

/// Whether a stream ends at a terminal.
pub fn is_terminal(stream: Stream) -> bool {
    match stream {
        Stream::Out => io::stdout().is_terminal(),
        Stream::Err => io::stderr().is_terminal(),
    }
}

fn columns(stream: Stream) -> Option<usize> {
    let size = match stream {
        Stream::Out => terminal_size::terminal_size_of(io::stdout()),
        Stream::Err => terminal_size::terminal_size_of(io::stderr()),
    };
    size.map(|(width, _)| usize::from(width.0))
}

/// Whether nobody reads standard output any more, so that there is no use in going on with a long answer.
pub fn is_closed() -> bool {
    with_state(|state| state.lost.is_some())
}

/// Why the output could not be written, unless its reader had merely seen enough.
pub fn failure() -> Option<ErrorKind> {
    with_state(|state| state.lost.filter(|kind| *kind != ErrorKind::BrokenPipe))
}

/// Prints a page.
pub fn page(stream: Stream, page: &Page) {
    let drawn = page.draw(view(stream));
    write(stream, &drawn.text);
    if drawn.cut == Cut::Cells {
        let mut hint = Page::default();
        hint.line(Line::of(Tone::Faint, "… is cut to this terminal; --wide shows everything"));
        write(Stream::Err, &hint.draw(view(Stream::Err)).text);
    }
}

/// Prints one line of no particular tone; what the macros do.
pub fn line(stream: Stream, text: Arguments<'_>) {
    let mut page = Page::default();
    page.line(text.to_string());
    write(stream, &page.draw(view(stream)).text);
}

/// Prints JSON text for programs. No character in it does anything to a terminal, and it means the same.
pub fn json(text: &str) {
    write(Stream::Out, &format!("{}\n", shown::json(text)));
}

/// Prints a part of a JSON text, as [`json`] does the whole.
pub fn json_part(text: &str) {
    write(Stream::Out, &shown::json(text));
}

/// Prints data as it is where a program reads it; on a terminal its lines are made visible.
pub fn data(text: &str) {
    if !is_terminal(Stream::Out) {
        write(Stream::Out, text);
        return;
    }
    let lines: String = shown::lines(text).map(|line| format!("{line}\n")).collect();
    write(Stream::Out, &lines);
}

/// Writes bytes for the r1x that started this process.
pub fn bytes(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush())
}

/// Prints what another crate drew for this stream, and made visible.
pub fn drawn(stream: Stream, text: &str) {
    write(stream, text);
}

/// From now on lines are printed above this block.
pub fn keep_below(bar: Option<ProgressBar>) {
    with_state(|state| state.bar = bar);
}

/// Takes the block off the screen, whoever else still holds it.
pub fn end_block() {
    with_state(|state| {
        if let Some(bar) = state.bar.take() {
            bar.finish_and_clear();
        }
    });
}

/// Goes back over the `^C` that the terminal has written below the block, so that the block is found where it was
/// drawn. Without a block there is nothing to go back over.
pub fn over_echo() {
    with_state(|state| {
        if state.bar.is_some() {
            let _ = io::stderr().lock().write_all(b"\r\x1b[K\x1b[A");
        }
    });
}

fn write(stream: Stream, text: &str) {
    with_state(|state| {
        let bar = state.bar.clone();
        let mut put = || match stream {
            Stream::Out => state.put(text),
            // Nobody is left to be told that nobody reads the messages.
            Stream::Err => {
                let _ = io::stderr().lock().write_all(text.as_bytes());
            }
        };
        match bar {
            Some(bar) => bar.suspend(put),
            None => put(),
        }
    });
}

impl State {
    fn put(&mut self, text: &str) {
        if self.lost.is_some() {
            return;
        }
        let mut out = io::stdout().lock();
        if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            self.lost = Some(error.kind());
        }
    }
}

/// One line on standard output.
macro_rules! println {
    () => { $crate::output::line($crate::output::Stream::Out, format_args!("")) };
    ($($text:tt)*) => {
        $crate::output::line($crate::output::Stream::Out, format_args!($($text)*))
    };
}

/// One line on standard error.
macro_rules! eprintln {
    () => { $crate::output::line($crate::output::Stream::Err, format_args!("")) };
    ($($text:tt)*) => {
        $crate::output::line($crate::output::Stream::Err, format_args!($($text)*))
    };
}
