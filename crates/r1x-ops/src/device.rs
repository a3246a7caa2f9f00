//! Which device a run uses, from the word on the command line.
//!
//! CUDA needs the `cuda` feature and a card; without either the error says which.

pub use candle_core::{Device, Error as TensorError};

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
        // Where backtraces are asked for, one follows on further lines.
        reason: error.to_string().lines().next().unwrap_or_default().to_owned(),
    })
}

/// What a device is, for people.
pub fn describe(device: &Device) -> String {
    match device {
        Device::Cpu => "cpu".to_owned(),
        #[cfg(feature = "cuda")]
        Device::Cuda(card) => describe_card(card),
        other => format!("{:?}", other.location()),
    }
}

#[cfg(feature = "cuda")]
fn describe_card(card: &candle_core::CudaDevice) -> String {
    let stream = card.cuda_stream();
    let context = stream.context();
    let name = context.name().unwrap_or_else(|_| "unknown".to_owned());
    let (major, minor) = context.compute_capability().unwrap_or_default();
    let gibibytes = context.total_mem().unwrap_or_default() as f64 / (1u64 << 30) as f64;
    format!("{name}, compute capability {major}.{minor}, {gibibytes:.1} GiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_devices_or_refused_with_a_reason() {
        let cpu = parse_device("cpu").unwrap();
        assert!(cpu.is_cpu());
        assert_eq!(describe(&cpu), "cpu");
        for word in ["abacus", "cuda:", "cuda:one", "cuda:-1", "cpu:0", ""] {
            let error = parse_device(word).unwrap_err().to_string();
            assert_eq!(error, format!("unknown device `{word}`: use `cpu` or `cuda:N`"));
        }
        // No machine has as many cards.
        let error = parse_device("cuda:4095").unwrap_err().to_string();
        assert!(error.starts_with("cannot open `cuda:4095`: "), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
}
