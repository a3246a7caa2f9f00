//! Large bytes in the store, compressed.

use std::borrow::Cow;

/// The level that zstd takes for its own default: a component of 20 MB takes a fifth of a second, and higher
/// levels save another tenth at ten times the time.
const LEVEL: i32 = 3;

/// How bytes are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    /// As they are.
    None,
    /// As one frame of zstd.
    Zstd,
}

impl Packing {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Zstd => "zstd",
        }
    }

    fn find(word: &str) -> Option<Self> {
        [Self::None, Self::Zstd].into_iter().find(|packing| packing.as_str() == word)
    }
}

/// The bytes as they are going to be kept: smaller, or unchanged.
pub(crate) fn pack(bytes: &[u8]) -> (Packing, Cow<'_, [u8]>) {
    match zstd::bulk::compress(bytes, LEVEL) {
        Ok(packed) if packed.len() < bytes.len() => (Packing::Zstd, Cow::Owned(packed)),
        // What cannot be made smaller is kept as it is.
        _ => (Packing::None, Cow::Borrowed(bytes)),
    }
}

/// The bytes that were packed, `length` of them. The error says what is wrong with what was kept.
pub(crate) fn unpack(kept: Vec<u8>, packing: &str, length: usize) -> Result<Vec<u8>, String> {
    let bytes = match Packing::find(packing) {
        Some(Packing::None) => kept,
        Some(Packing::Zstd) => {
            zstd::bulk::decompress(&kept, length).map_err(|error| error.to_string())?
        }
        None => return Err(format!("`{packing}` is no packing that this r1x knows")),
    };
    if bytes.len() == length {
        return Ok(bytes);
    }
    Err(format!("it has {} bytes, not {length}", bytes.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked() {
        let repeated = b"\0asm code ".repeat(10_000);
        let (packing, packed) = pack(&repeated);
        assert_eq!(packing, Packing::Zstd);
        assert!(packed.len() * 20 < repeated.len(), "{}", packed.len());
        let packed = packed.into_owned();
        assert_eq!(unpack(packed.clone(), "zstd", repeated.len()).unwrap(), repeated);
        assert!(unpack(packed[..20].to_vec(), "zstd", repeated.len()).is_err());
        assert!(unpack(packed.clone(), "zstd", 7).is_err());
        assert!(unpack(packed, "brotli", 7).unwrap_err().contains("brotli"));
        let (packing, kept) = pack(b"\0asm");
        assert_eq!((packing, &*kept), (Packing::None, &b"\0asm"[..]));
        assert_eq!(unpack(kept.into_owned(), "none", 4).unwrap(), b"\0asm");
    }
}
