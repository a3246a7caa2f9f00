//! Numbers of a tensor, streamed through a small buffer into memory of the caller.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::PathBuf;

use half::bf16;
use half::slice::HalfFloatSliceExt;

use crate::dtype::{Code, Dtype};
use crate::error::WeightsError;
use crate::float8::Scales;
use crate::open::{TensorInfo, WeightFiles};
use crate::{plain, quantised};

/// Bytes of the buffer between a file and the destination: it stays in a processor's cache.
pub const BUFFER_BYTES: usize = 256 << 10;

/// A file that is open for reading.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) path: PathBuf,
    pub(crate) file: File,
    /// Its length when it was opened, bytes.
    pub(crate) len: u64,
}

impl Opened {
    /// Opens a regular file.
    pub(crate) fn new(path: PathBuf) -> Result<Self, WeightsError> {
        let file = r1x_files::open(&path).map_err(WeightsError::io(&path))?;
        let len = file.metadata().map_err(WeightsError::io(&path))?.len();
        Ok(Self { path, file, len })
    }

    /// Fills bytes from a place in the file, whatever else reads it.
    pub(crate) fn read(&self, bytes: &mut [u8], at: u64) -> Result<(), WeightsError> {
        read_exact_at(&self.file, bytes, at).map_err(WeightsError::io(&self.path))
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, at)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut bytes: &mut [u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let count = std::os::windows::fs::FileExt::seek_read(file, bytes, at)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        (bytes, at) = (&mut bytes[count..], at + count as u64);
    }
    Ok(())
}

impl WeightFiles {
    /// Reads a whole tensor as f32. What is stored in fewer bits is exact; F64 is rounded.
    ///
    /// # Errors
    /// When there is no tensor of the name, when `out` has another length than the tensor has elements, when its type
    /// is not one of weights, when a number of F64 is too large for f32, and when the file cannot be read or became
    /// shorter.
    pub fn read(&self, name: &str, out: &mut [f32]) -> Result<(), WeightsError> {
        let tensor = self.tensor(name)?;
        self.read_elements(tensor, 0..tensor.elements(), out)
    }

    /// Reads some rows of a tensor as f32: it is taken as a matrix whose columns are its last dimension, so that an
    /// expert of stacked ones, or a projection of fused ones, has rows of its own.
    ///
    /// # Errors
    /// As those of [`WeightFiles::read`], and when the tensor has no such rows.
    pub fn read_rows(
        &self,
        name: &str,
        rows: Range<usize>,
        out: &mut [f32],
    ) -> Result<(), WeightsError> {
        let tensor = self.tensor(name)?;
        self.read_elements(tensor, self.elements_of(tensor, rows)?, out)
    }

    /// Reads a whole tensor as bf16: as it is where it is stored so, and rounded to the nearest, ties to even, where it
    /// is stored in another type.
    ///
    /// # Errors
    /// As those of [`WeightFiles::read`].
    pub fn read_bf16(&self, name: &str, out: &mut [bf16]) -> Result<(), WeightsError> {
        let tensor = self.tensor(name)?;
        self.read_elements_bf16(tensor, 0..tensor.elements(), out)
    }

    /// Reads some rows of a tensor as bf16; see [`WeightFiles::read_rows`] and [`WeightFiles::read_bf16`].
    ///
    /// # Errors
    /// As those of [`WeightFiles::read_rows`].
    pub fn read_rows_bf16(
        &self,
        name: &str,
        rows: Range<usize>,
        out: &mut [bf16],
    ) -> Result<(), WeightsError> {
        let tensor = self.tensor(name)?;
        self.read_elements_bf16(tensor, self.elements_of(tensor, rows)?, out)
    }

    fn tensor(&self, name: &str) -> Result<&TensorInfo, WeightsError> {
        self.get(name).ok_or_else(|| {
            let hint =
                "use weights of the same kind of model; `r1x model inspect` lists what is there";
            WeightsError::tensor(self.path(), name, "is not there", hint)
        })
    }

    fn elements_of(
        &self,
        tensor: &TensorInfo,
        rows: Range<usize>,
    ) -> Result<Range<usize>, WeightsError> {
        if rows.start > rows.end || rows.end > tensor.rows() {
            let reason = format!("has {} rows, and {rows:?} were asked for", tensor.rows());
            return Err(self.bug(tensor, reason));
        }
        Ok(rows.start * tensor.columns()..rows.end * tensor.columns())
    }

    fn bug(&self, tensor: &TensorInfo, reason: String) -> WeightsError {
        let hint = "this is a bug in r1x: please report it";
        WeightsError::tensor(&self.file(tensor).path, tensor.name(), reason, hint)
    }

    fn read_elements(
        &self,
        tensor: &TensorInfo,
        elements: Range<usize>,
        out: &mut [f32],
    ) -> Result<(), WeightsError> {
        self.check_length(tensor, &elements, out.len())?;
        let decoder = self.decoder(tensor)?;
        self.stream(tensor, elements.clone(), |bytes, part| {
            let out = &mut out[part.start - elements.start..part.end - elements.start];
            decoder.decode(bytes, part.start, out).map_err(|value| self.too_large(tensor, value))
        })
    }

    fn read_elements_bf16(
        &self,
        tensor: &TensorInfo,
        elements: Range<usize>,
        out: &mut [bf16],
    ) -> Result<(), WeightsError> {
        self.check_length(tensor, &elements, out.len())?;
        let decoder = self.decoder(tensor)?;
        let mut wide = Vec::new();
        self.stream(tensor, elements.clone(), |bytes, part| {
            let out = &mut out[part.start - elements.start..part.end - elements.start];
            if decoder.code == Code::BF16 {
                plain::bf16s_as_they_are(bytes, out);
                return Ok(());
            }
            wide.resize(out.len(), 0.0);
            decoder
                .decode(bytes, part.start, &mut wide)
                .map_err(|value| self.too_large(tensor, value))?;
            out.convert_from_f32_slice(&wide);
            Ok(())
        })
    }

    fn check_length(
        &self,
        tensor: &TensorInfo,
        elements: &Range<usize>,
        length: usize,
    ) -> Result<(), WeightsError> {
        if elements.len() == length {
            return Ok(());
        }
        let reason = format!("has {} elements to read into {length}", elements.len());
        Err(self.bug(tensor, reason))
    }

    fn too_large(&self, tensor: &TensorInfo, value: f64) -> WeightsError {
        let reason = format!("holds {value:e}, which is too large for f32");
        let hint = "weights are computed with in f32: scale the model down, or convert it yourself";
        WeightsError::tensor(&self.file(tensor).path, tensor.name(), reason, hint)
    }

    /// What turns bytes of the tensor into numbers; scales are read for it.
    fn decoder(&self, tensor: &TensorInfo) -> Result<Decoder, WeightsError> {
        let refuse = |reason: String, hint: String| {
            Err(WeightsError::tensor(&self.file(tensor).path, tensor.name(), reason, hint))
        };
        let dtype = tensor.dtype();
        if !dtype.is_readable() {
            let reason = format!("is {dtype}, which is not read as weights");
            return refuse(reason, format!("convert it to one of {}", Dtype::readable()));
        }
        if dtype.code() != Code::F8E4M3 {
            return Ok(Decoder { code: dtype.code(), scales: None });
        }
        let Some(scales) = tensor.scales() else {
            let reason = format!("is {dtype} without `{}_scale_inv` beside it", tensor.name());
            let hint = "8-bit weights are read with block scales, as DeepSeek-V3 publishes them; convert others to BF16";
            return refuse(reason, hint.to_owned());
        };
        let shape = <[usize; 2]>::try_from(tensor.shape()).ok();
        let expected = shape.map(|shape| Scales::shape(shape, self.float8_block()));
        if expected.as_ref().map(|shape| &shape[..]) != Some(scales.shape()) {
            let (shape, given, [rows, columns]) =
                (tensor.shape(), scales.shape(), self.float8_block());
            let reason = format!(
                "is {shape:?} with scales {given:?}, which are not one for each block of {rows} x {columns}"
            );
            let hint =
                "compare `weight_block_size` in config.json; scales a tensor or a row are not read";
            return refuse(reason, hint.to_owned());
        }
        if matches!(scales.dtype().code(), Code::F8E4M3 | Code::Opaque) {
            let reason = format!("has scales of {}", scales.dtype());
            return refuse(reason, "convert the scales to F32".to_owned());
        }
        let mut values = vec![0.0; scales.elements()];
        self.read_elements(scales, 0..scales.elements(), &mut values)?;
        let scales = Scales { columns: tensor.columns(), block: self.float8_block(), values };
        Ok(Decoder { code: dtype.code(), scales: Some(scales) })
    }

    /// Hands out the bytes of some elements, a bufferful of whole blocks at a time, with the elements they are.
    fn stream(
        &self,
        tensor: &TensorInfo,
        elements: Range<usize>,
        mut take: impl FnMut(&[u8], Range<usize>) -> Result<(), WeightsError>,
    ) -> Result<(), WeightsError> {
        let file = self.file(tensor);
        let (block, bytes) = (tensor.dtype().block_elements(), tensor.dtype().block_bytes());
        let (block, bytes) = (block as usize, bytes as usize);
        // Rows of quantised tensors are whole blocks, which their header is checked for.
        let blocks = elements.len() / block;
        let step = (BUFFER_BYTES / bytes).min(blocks);
        let mut buffer = vec![0; step * bytes];
        for from in (0..blocks).step_by(step.max(1)) {
            let count = step.min(blocks - from);
            let first = elements.start + from * block;
            let at = tensor.at() + (first / block * bytes) as u64;
            let buffer = &mut buffer[..count * bytes];
            file.read(buffer, at)?;
            take(buffer, first..first + count * block)?;
        }
        Ok(())
    }
}

/// What turns bytes of one tensor into numbers.
struct Decoder {
    code: Code,
    scales: Option<Scales>,
}

impl Decoder {
    /// Decodes whole blocks, whose first number is element `first` of the tensor.
    ///
    /// # Errors
    /// A finite number that is none in f32.
    fn decode(&self, bytes: &[u8], first: usize, out: &mut [f32]) -> Result<(), f64> {
        match self.code {
            Code::F32 => plain::f32s(bytes, out),
            Code::F16 => plain::f16s(bytes, out),
            Code::BF16 => plain::bf16s(bytes, out),
            Code::F64 => return plain::f64s(bytes, out),
            Code::Q4_0 => quantised::q4_0(bytes, out),
            Code::Q4_1 => quantised::q4_1(bytes, out),
            Code::Q5_0 => quantised::q5_0(bytes, out),
            Code::Q5_1 => quantised::q5_1(bytes, out),
            Code::Q8_0 => quantised::q8_0(bytes, out),
            Code::Q4K => quantised::q4_k(bytes, out),
            Code::Q5K => quantised::q5_k(bytes, out),
            Code::Q6K => quantised::q6_k(bytes, out),
            Code::F8E4M3 => {
                if let Some(scales) = &self.scales {
                    scales.apply(bytes, first, out);
                }
            }
            // A decoder is made for what is readable only.
            Code::Opaque => {}
        }
        Ok(())
    }
}
