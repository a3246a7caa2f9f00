//! How wide text is on a terminal, where it may be broken, and where it is cut.
//!
//! Widths are those of Unicode's tables: two columns for most of CJK and for emoji, none for marks.

use r1x_core::shown;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use super::{Tone, View, paint};

/// What stands where something was left out.
const ELLIPSIS: &str = "…";
/// Columns by which the rest of a broken line stands further right than its beginning.
const HANG: usize = 2;
/// A narrower terminal is treated like this one: nothing can be laid out in less.
const NARROWEST: usize = 20;

/// Columns that a text takes.
pub fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// The text, or as much of its beginning as fits with `…` behind it.
pub fn cut(text: &str, room: usize) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for cluster in text.graphemes(true) {
        if used + width(cluster) + width(ELLIPSIS) > room {
            break;
        }
        used += width(cluster);
        out.push_str(cluster);
    }
    if used < room {
        out.push_str(ELLIPSIS);
    }
    out
}

/// Writes a line, broken between words where it is too long. A word that is too long itself, such as a path,
/// stays whole: in pieces it could not be copied.
pub(super) fn line(out: &mut String, spans: &[(Tone, String)], view: View) {
    let whole: usize = spans.iter().map(|(_, text)| width(text)).sum();
    let room = view.width.unwrap_or(usize::MAX).max(NARROWEST);
    let first = spans.first().map_or("", |(_, text)| text);
    let indent = first.len() - first.trim_start_matches(' ').len();
    let hang = if indent + HANG < room / 2 { indent + HANG } else { HANG };
    if whole <= room {
        spans.iter().for_each(|(tone, text)| paint(out, *tone, text, view));
        return end_line(out);
    }
    let mut used = 0;
    for word in words(spans) {
        let seen: usize = word.iter().map(|(_, piece)| width(piece.trim_end_matches(' '))).sum();
        if used > hang && used + seen > room && seen > 0 {
            end_line(out);
            out.push_str(&" ".repeat(hang));
            used = hang;
        }
        for (tone, piece) in word {
            paint(out, tone, piece, view);
            used += width(piece);
        }
    }
    end_line(out);
}

/// The words of a line, each with the blank behind it. A word whose tone changes inside is in several pieces, as a name
/// is that a colon of another tone follows.
fn words(spans: &[(Tone, String)]) -> Vec<Vec<(Tone, &str)>> {
    let mut words = Vec::new();
    let mut word = Vec::new();
    for (tone, text) in spans {
        for piece in text.split_inclusive(' ') {
            word.push((*tone, piece));
            if piece.ends_with(' ') {
                words.push(std::mem::take(&mut word));
            }
        }
    }
    words.push(word);
    words
}

/// Writes a text of several lines: `lead` before the first, `rest` before the others, broken anywhere rather
/// than going over the edge: a model's text need not have blanks.
pub(super) fn text(out: &mut String, lead: &str, rest: &str, text: &str, view: View) {
    let room = view.width.unwrap_or(usize::MAX).max(NARROWEST);
    let mut before = lead;
    let mut empty = true;
    for line in shown::lines(text) {
        let pieces = broken(&line, room.saturating_sub(width(rest).max(width(lead))).max(HANG));
        for piece in pieces {
            out.push_str(before);
            out.push_str(&piece);
            end_line(out);
            before = rest;
        }
        empty = false;
    }
    if empty {
        out.push_str(lead);
        end_line(out);
    }
}

/// Writes a text in pieces of a tone each, `lead` before each of its lines, which are broken anywhere at the edge. A tone
/// ends with its line.
pub(super) fn toned(out: &mut String, lead: &str, spans: &[(Tone, String)], view: View) {
    let room =
        view.width.unwrap_or(usize::MAX).max(NARROWEST).saturating_sub(width(lead)).max(HANG);
    out.push_str(lead);
    let mut used = 0;
    for (tone, text) in spans {
        for (at, line) in text.split('\n').enumerate() {
            if at > 0 {
                end_line(out);
                out.push_str(lead);
                used = 0;
            }
            let mut piece = String::new();
            for cluster in shown::line(line).graphemes(true) {
                if used > 0 && used + width(cluster) > room {
                    paint(out, *tone, &std::mem::take(&mut piece), view);
                    end_line(out);
                    out.push_str(lead);
                    used = 0;
                }
                piece.push_str(cluster);
                used += width(cluster);
            }
            paint(out, *tone, &piece, view);
        }
    }
    end_line(out);
}

/// The text in pieces that fit, broken after blanks where there are some.
pub(super) fn broken(text: &str, room: usize) -> Vec<String> {
    if width(text) <= room {
        return vec![text.to_owned()];
    }
    let mut pieces = Vec::new();
    let mut piece = String::new();
    let mut used = 0;
    for word in text.split_inclusive(' ') {
        let seen = width(word.trim_end_matches(' '));
        if used > 0 && used + seen > room {
            pieces.push(std::mem::take(&mut piece));
            used = 0;
        }
        if seen <= room {
            piece.push_str(word);
            used += width(word);
            continue;
        }
        for cluster in word.graphemes(true) {
            if used > 0 && used + width(cluster) > room {
                pieces.push(std::mem::take(&mut piece));
                used = 0;
            }
            piece.push_str(cluster);
            used += width(cluster);
        }
    }
    pieces.push(piece);
    pieces
}

/// Ends a line without blanks at its end.
pub(super) fn end_line(out: &mut String) {
    out.truncate(out.trim_end_matches(' ').len());
    out.push('\n');
}
