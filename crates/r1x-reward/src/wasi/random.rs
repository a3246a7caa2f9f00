//! Random numbers that are the same in every instance on every machine.
//!
//! Must not ask anyone for entropy.

use wasmtime::StoreContextMut;
use wasmtime::component::LinkerInstance;

use super::WithSystem;

/// Bytes a guest may ask for at a time: the memory is the host's.
const MAX_BYTES: u64 = 1 << 20;

/// SplitMix64 from a fixed start: well spread and small. It is no secret, because nothing here is.
#[derive(Debug, Default)]
pub(super) struct Stream(u64);

impl Stream {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

pub(super) fn random<S: WithSystem>(instance: &mut LinkerInstance<'_, S>) -> wasmtime::Result<()> {
    numbers(instance, "get-random-bytes", "get-random-u64")
}

pub(super) fn insecure<S: WithSystem>(
    instance: &mut LinkerInstance<'_, S>,
) -> wasmtime::Result<()> {
    numbers(instance, "get-insecure-random-bytes", "get-insecure-random-u64")
}

pub(super) fn insecure_seed<S: WithSystem>(
    instance: &mut LinkerInstance<'_, S>,
) -> wasmtime::Result<()> {
    instance.func_wrap("insecure-seed", |mut store: StoreContextMut<'_, S>, (): ()| {
        let stream = &mut store.data_mut().system_mut().random;
        Ok(((stream.next(), stream.next()),))
    })
}

fn numbers<S: WithSystem>(
    instance: &mut LinkerInstance<'_, S>,
    bytes: &str,
    number: &str,
) -> wasmtime::Result<()> {
    instance.func_wrap(bytes, |mut store: StoreContextMut<'_, S>, (length,): (u64,)| {
        if length > MAX_BYTES {
            let message = format!("it asked for {length} random bytes; {MAX_BYTES} are the most");
            return Err(wasmtime::Error::msg(message));
        }
        let stream = &mut store.data_mut().system_mut().random;
        let mut drawn = Vec::new();
        while (drawn.len() as u64) < length {
            drawn.extend_from_slice(&stream.next().to_le_bytes());
        }
        drawn.truncate(usize::try_from(length)?);
        Ok((drawn,))
    })?;
    instance.func_wrap(number, |mut store: StoreContextMut<'_, S>, (): ()| {
        Ok((store.data_mut().system_mut().random.next(),))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_splitmix64() {
        // The first outputs for seed 0, as published with the generator.
        let mut stream = Stream::default();
        assert_eq!(stream.next(), 0xe220_a839_7b1d_cdaf);
        assert_eq!(stream.next(), 0x6e78_9e6a_a1b9_65f4);
    }
}
