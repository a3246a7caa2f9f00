//! Finding marks in long texts: eight bytes at a time, which is what most of the time of a reward goes into.
//!
//! Must not know which marks mean something.

/// Bytes looked at before anything is decided.
const BLOCK: usize = 32;
const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Not 0 exactly when one of the bytes is the wanted one, which fills `pattern`.
fn has(bytes: [u8; 8], pattern: u64) -> u64 {
    let zero = u64::from_le_bytes(bytes) ^ pattern;
    zero.wrapping_sub(LOW) & !zero & HIGH
}

/// Where a byte first stands.
pub fn find_byte(bytes: &[u8], wanted: u8) -> Option<usize> {
    let pattern = u64::from_le_bytes([wanted; 8]);
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    for (index, block) in blocks.iter().enumerate() {
        let (eights, _) = block.as_chunks::<8>();
        if eights.iter().fold(0, |found, eight| found | has(*eight, pattern)) != 0 {
            let inside = block.iter().position(|&byte| byte == wanted);
            return inside.map(|inside| index * BLOCK + inside);
        }
    }
    let inside = rest.iter().position(|&byte| byte == wanted);
    inside.map(|inside| blocks.len() * BLOCK + inside)
}

/// Where a mark first stands; the same as `text.find(mark)`.
pub fn find(text: &str, mark: &str) -> Option<usize> {
    let (bytes, mark) = (text.as_bytes(), mark.as_bytes());
    let Some(&first) = mark.first() else { return Some(0) };
    let mut start = 0;
    while let Some(at) = find_byte(&bytes[start..], first) {
        let at = start + at;
        if bytes[at..].starts_with(mark) {
            return Some(at);
        }
        start = at + 1;
    }
    None
}

/// Where a mark last stands; the same as `text.rfind(mark)`.
pub fn rfind(text: &str, mark: &str) -> Option<usize> {
    let (bytes, mark) = (text.as_bytes(), mark.as_bytes());
    let Some(&first) = mark.first() else { return Some(text.len()) };
    let mut end = bytes.len();
    while let Some(at) = rfind_byte(&bytes[..end], first) {
        if bytes[at..].starts_with(mark) {
            return Some(at);
        }
        end = at;
    }
    None
}

/// Where a byte last stands.
pub fn rfind_byte(bytes: &[u8], wanted: u8) -> Option<usize> {
    let pattern = u64::from_le_bytes([wanted; 8]);
    let (rest, blocks) = bytes.as_rchunks::<BLOCK>();
    for (index, block) in blocks.iter().enumerate().rev() {
        let (eights, _) = block.as_chunks::<8>();
        if eights.iter().fold(0, |found, eight| found | has(*eight, pattern)) != 0 {
            let inside = block.iter().rposition(|&byte| byte == wanted);
            return inside.map(|inside| rest.len() + index * BLOCK + inside);
        }
    }
    rest.iter().rposition(|&byte| byte == wanted)
}

/// The parts around the first mark; the same as `text.split_once(mark)`.
pub fn split_once<'a>(text: &'a str, mark: &str) -> Option<(&'a str, &'a str)> {
    let at = find(text, mark)?;
    Some((&text[..at], &text[at + mark.len()..]))
}

/// How often a mark occurs, without overlaps.
pub fn count(text: &str, mark: &str) -> usize {
    if mark.is_empty() {
        return text.matches(mark).count();
    }
    let (mut count, mut rest) = (0, text);
    while let Some((_, after)) = split_once(rest, mark) {
        (count, rest) = (count + 1, after);
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_library_finds_the_same() {
        let letters = ["<", "a", "<a", "<<", "é", "\u{3c3c}", ">", " ", "word and word ", "<a>"];
        // Texts of every length around a block, made of pieces that begin like the marks.
        let mut texts = vec![String::new()];
        for seed in 0..400_usize {
            let mut text = String::new();
            let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12_345);
            while text.len() < seed / 4 {
                state = state.wrapping_mul(1_103_515_245).wrapping_add(12_345);
                text.push_str(letters[(state >> 16) % letters.len()]);
            }
            texts.push(text);
        }
        for text in &texts {
            for mark in ["<", "<a>", "a", "é", "<<", "word", "absent", "", "<a><a>"] {
                assert_eq!(find(text, mark), text.find(mark), "{mark} in {text}");
                assert_eq!(rfind(text, mark), text.rfind(mark), "{mark} in {text}");
                assert_eq!(count(text, mark), text.matches(mark).count(), "{mark} in {text}");
                assert_eq!(split_once(text, mark), text.split_once(mark), "{mark} in {text}");
            }
        }
        for byte in 0..=255 {
            let bytes: Vec<u8> = (0..=255).chain(0..=255).collect();
            assert_eq!(find_byte(&bytes, byte), Some(usize::from(byte)));
            assert_eq!(rfind_byte(&bytes, byte), Some(256 + usize::from(byte)));
        }
    }
}
