//! Which device a run uses, from the word on the command line.
//!
//! Must not know models. CUDA needs the `cuda` feature and a card; without either the error says which.

pub use candle_core::Device;

/// A device that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// Not a device word.
    #[error("unknown device `{0}`: use `cpu` or `cuda:N`")]
    Unknown(String),
    /// A card was asked for and cannot be opened.
    #[error("cannot open `{word}`: {reason}")]
    Unavailable {
        /// What was asked for.
        word: String,
        /// What candle answered.
        reason: String,
    },
}

/// Opens `cpu`, `cuda` or `cuda:N`.
///
/// # Errors
/// When the word is unknown, the feature is off or the card does not answer.
pub fn parse_device(word: &str) -> Result<Device, DeviceError> {
    let ordinal = match word.split_once(':') {
        None if word == "cpu" => return Ok(Device::Cpu),
        None if word == "cuda" => 0,
        Some(("cuda", ordinal)) => {
            ordinal.parse().map_err(|_| DeviceError::Unknown(word.to_owned()))?
        }
        _ => return Err(DeviceError::Unknown(word.to_owned())),
    };
    if !cfg!(feature = "cuda") {
        return Err(DeviceError::Unavailable {
            word: word.to_owned(),
            reason: "this r1x was built without the `cuda` feature".to_owned(),
        });
    }
    Device::new_cuda(ordinal).map_err(|error| DeviceError::Unavailable {
        word: word.to_owned(),
        reason: error.to_string(),
    })
}
