//! The types of numbers that weight files hold, and how many bytes they take.

use std::fmt;

/// A type of numbers as a file stores them.
///
/// Names are those of safetensors and of GGUF; a name that both have means the same bytes in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dtype(&'static Form);

/// One row of the table of types.
#[derive(Debug, PartialEq, Eq)]
struct Form {
    name: &'static str,
    /// Whether a safetensors header may say the name.
    in_safetensors: bool,
    /// The number that stands for it in GGUF.
    in_gguf: Option<u32>,
    /// Elements that are stored together.
    elements: u64,
    /// Bytes that these take.
    bytes: u64,
    code: Code,
}

/// How the bytes of a type become numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    F32,
    F16,
    BF16,
    F64,
    /// Needs scales beside it.
    F8E4M3,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q4K,
    Q5K,
    Q6K,
    /// Listed, never read as weights.
    Opaque,
}

const fn both(name: &'static str, gguf: u32, bytes: u64, code: Code) -> Form {
    Form { name, in_safetensors: true, in_gguf: Some(gguf), elements: 1, bytes, code }
}

const fn tensors(name: &'static str, elements: u64, bytes: u64, code: Code) -> Form {
    Form { name, in_safetensors: true, in_gguf: None, elements, bytes, code }
}

const fn gguf(name: &'static str, gguf: u32, elements: u64, bytes: u64, code: Code) -> Form {
    Form { name, in_safetensors: false, in_gguf: Some(gguf), elements, bytes, code }
}

/// Every type: those of safetensors 0.8, and of GGUF as in the Python package `gguf` 0.19 (`GGML_QUANT_SIZES`) but for
/// the few that no published file has.
const FORMS: &[Form] = &[
    both("F32", 0, 4, Code::F32),
    both("F16", 1, 2, Code::F16),
    both("BF16", 30, 2, Code::BF16),
    both("F64", 28, 8, Code::F64),
    both("I8", 24, 1, Code::Opaque),
    both("I16", 25, 2, Code::Opaque),
    both("I32", 26, 4, Code::Opaque),
    both("I64", 27, 8, Code::Opaque),
    tensors("F8_E4M3", 1, 1, Code::F8E4M3),
    tensors("F8_E5M2", 1, 1, Code::Opaque),
    tensors("F8_E8M0", 1, 1, Code::Opaque),
    tensors("F8_E4M3FNUZ", 1, 1, Code::Opaque),
    tensors("F8_E5M2FNUZ", 1, 1, Code::Opaque),
    tensors("F6_E2M3", 4, 3, Code::Opaque),
    tensors("F6_E3M2", 4, 3, Code::Opaque),
    tensors("F4", 2, 1, Code::Opaque),
    tensors("BOOL", 1, 1, Code::Opaque),
    tensors("U8", 1, 1, Code::Opaque),
    tensors("U16", 1, 2, Code::Opaque),
    tensors("U32", 1, 4, Code::Opaque),
    tensors("U64", 1, 8, Code::Opaque),
    tensors("C64", 1, 8, Code::Opaque),
    gguf("Q4_0", 2, 32, 18, Code::Q4_0),
    gguf("Q4_1", 3, 32, 20, Code::Q4_1),
    gguf("Q5_0", 6, 32, 22, Code::Q5_0),
    gguf("Q5_1", 7, 32, 24, Code::Q5_1),
    gguf("Q8_0", 8, 32, 34, Code::Q8_0),
    gguf("Q2_K", 10, 256, 84, Code::Opaque),
    gguf("Q3_K", 11, 256, 110, Code::Opaque),
    gguf("Q4_K", 12, 256, 144, Code::Q4K),
    gguf("Q5_K", 13, 256, 176, Code::Q5K),
    gguf("Q6_K", 14, 256, 210, Code::Q6K),
    gguf("IQ2_XXS", 16, 256, 66, Code::Opaque),
    gguf("IQ2_XS", 17, 256, 74, Code::Opaque),
    gguf("IQ3_XXS", 18, 256, 98, Code::Opaque),
    gguf("IQ1_S", 19, 256, 50, Code::Opaque),
    gguf("IQ4_NL", 20, 32, 18, Code::Opaque),
    gguf("IQ3_S", 21, 256, 110, Code::Opaque),
    gguf("IQ2_S", 22, 256, 82, Code::Opaque),
    gguf("IQ4_XS", 23, 256, 136, Code::Opaque),
    gguf("IQ1_M", 29, 256, 56, Code::Opaque),
    gguf("TQ1_0", 34, 256, 54, Code::Opaque),
    gguf("TQ2_0", 35, 256, 66, Code::Opaque),
    gguf("MXFP4", 39, 32, 17, Code::Opaque),
];

fn find(is: impl Fn(&Form) -> bool) -> Option<Dtype> {
    FORMS.iter().find(|form| is(form)).map(Dtype)
}

impl Dtype {
    /// The type of a name, such as `BF16` or `Q4_K`.
    pub fn named(name: &str) -> Option<Self> {
        find(|form| form.name == name)
    }

    /// The type that a safetensors header means by a word.
    pub(crate) fn of_safetensors(word: &str) -> Option<Self> {
        find(|form| form.in_safetensors && form.name == word)
    }

    /// The type that a GGUF header means by a number.
    pub(crate) fn of_gguf(number: u32) -> Option<Self> {
        find(|form| form.in_gguf == Some(number))
    }

    /// Its name, as files write it.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// Elements that are stored together, as one block; 1 for plain numbers.
    pub fn block_elements(self) -> u64 {
        self.0.elements
    }

    /// Bytes of one block.
    pub fn block_bytes(self) -> u64 {
        self.0.bytes
    }

    /// Whether numbers of the type can be read as weights. `F8_E4M3` can where its scales lie beside it.
    pub fn is_readable(self) -> bool {
        self.0.code != Code::Opaque
    }

    pub(crate) fn code(self) -> Code {
        self.0.code
    }

    /// Bytes of so many elements; none where they are no whole number of blocks, or more bytes than can be counted.
    pub(crate) fn bytes(self, elements: u64) -> Option<u64> {
        let whole = elements.is_multiple_of(self.0.elements);
        whole.then(|| (elements / self.0.elements).checked_mul(self.0.bytes)).flatten()
    }

    /// The names of everything that can be read, for messages.
    pub(crate) fn readable() -> String {
        let names = FORMS.iter().filter(|form| form.code != Code::Opaque).map(|form| form.name);
        names.collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.0.name)
    }
}
