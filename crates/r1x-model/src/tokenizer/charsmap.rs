//! The character map of a SentencePiece normalizer, walked through before it is used.
//!
//! A character map is a trie and a text. The trie is one array, its steps are offsets in the array, and its leaves
//! point into the text. Whoever walks a trie that is not whole leaves the array; here every step that any text could
//! take is taken once.

/// Most bytes that one character may become.
const MOST_REPLACEMENT_BYTES: usize = 256;
/// Units of the array that one step chooses from.
const BLOCK: usize = 256;

/// Checks a map as it stands in a file.
pub(super) fn check(encoded: &str) -> Result<(), &'static str> {
    let bytes = base64::decode(encoded).map_err(|_| "it is not base64")?;
    let (size, rest) = bytes.split_first_chunk::<4>().ok_or("it has no length")?;
    let size = u32::from_le_bytes(*size) as usize / 4 * 4;
    let (trie, texts) = rest.split_at_checked(size).ok_or("it is shorter than it says")?;
    let texts = std::str::from_utf8(texts).map_err(|_| "its text is not UTF-8")?;
    if texts.split('\0').any(|text| text.len() > MOST_REPLACEMENT_BYTES) {
        return Err("a character becomes too long a text");
    }
    let (units, _) = trie.as_chunks::<4>();
    let units: Vec<Unit> = units.iter().map(|unit| Unit(u32::from_le_bytes(*unit))).collect();
    walk(&units, texts)
}

/// One unit of the trie's array: 32 bits that hold a label, an offset to children, and whether a leaf is among them.
#[derive(Clone, Copy)]
struct Unit(u32);

impl Unit {
    fn has_leaf(self) -> bool {
        (self.0 >> 8) & 1 == 1
    }

    fn value(self) -> usize {
        (self.0 & ((1 << 31) - 1)) as usize
    }

    fn label(self) -> usize {
        (self.0 & ((1 << 31) | 0xff)) as usize
    }

    fn offset(self) -> usize {
        ((self.0 as usize) >> 10) << ((self.0 & (1 << 9)) >> 6)
    }
}

/// Every place that can be reached, each once.
fn walk(units: &[Unit], texts: &str) -> Result<(), &'static str> {
    const OUTSIDE: &str = "its trie leads outside of itself";
    let root = units.first().ok_or("its trie is empty")?;
    let mut seen = vec![false; units.len()];
    let mut open = vec![root.offset()];
    while let Some(node) = open.pop() {
        if node | (BLOCK - 1) >= units.len() {
            return Err(OUTSIDE);
        }
        if std::mem::replace(&mut seen[node], true) {
            continue;
        }
        for byte in 1..BLOCK {
            let place = node ^ byte;
            let unit = units[place];
            if unit.label() != byte {
                continue;
            }
            let next = place ^ unit.offset();
            if unit.has_leaf() {
                let start = units.get(next).ok_or(OUTSIDE)?.value();
                if !texts.is_char_boundary(start) {
                    return Err("a leaf of its trie points outside of its text");
                }
            }
            open.push(next);
        }
    }
    Ok(())
}
