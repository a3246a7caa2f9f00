//! Which vector instructions this machine has, and a way to compile a plain function for them.
//!
//! Element-wise kernels are ordinary loops, compiled once per level, and because Rust neither fuses nor reorders
//! floating-point operations by itself, every level gives the same bits.

use std::sync::OnceLock;

/// Vector instructions, from widest to none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// No assumptions beyond the compilation target.
    Portable,
    /// AVX2 with FMA.
    Avx2,
    /// AVX-512 F, BW, DQ and VL.
    Avx512,
    /// AVX-512 F, BW, DQ and VL, and products of `bf16` pairs that are as fast as they should be.
    Avx512Bf16,
}

/// The variable that lowers the level, so that every one can be tested on one machine.
pub const LEVEL_VARIABLE: &str = "R1X_KERNELS";

impl Level {
    /// Every level with its word, narrowest first.
    pub const ALL: [(&'static str, Level); 4] = [
        ("portable", Level::Portable),
        ("avx2", Level::Avx2),
        ("avx512", Level::Avx512),
        ("avx512-bf16", Level::Avx512Bf16),
    ];

    /// The word for this level.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, level)| *level == self).map_or("", |(name, _)| name)
    }
}

/// The widest level this processor supports, or a lower one that `R1X_KERNELS` asks for. It is a constant of
/// the process, found once.
pub fn level() -> Level {
    static LEVEL: OnceLock<Level> = OnceLock::new();
    *LEVEL.get_or_init(|| match std::env::var(LEVEL_VARIABLE) {
        Ok(word) => limited(&word, detect()),
        Err(_) => detect(),
    })
}

/// The level a word asks for, as far as the machine goes; a word that is no level asks for nothing.
fn limited(word: &str, machine: Level) -> Level {
    let asked = Level::ALL.iter().find(|(name, _)| *name == word);
    asked.map_or(machine, |(_, level)| machine.min(*level))
}

#[cfg(target_arch = "x86_64")]
fn detect() -> Level {
    let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    let avx512 = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl");
    match (avx512, avx2) {
        (true, true) if has_fast_bf16() => Level::Avx512Bf16,
        (true, true) => Level::Avx512,
        (false, true) => Level::Avx2,
        _ => Level::Portable,
    }
}

/// Whether products of `bf16` pairs are worth their instruction: measured, it does twice the work of `f32` a
/// cycle on AMD (Zen 4), and half of it on Intel's cores, where widening to `f32` is the faster way to the
/// same bits.
#[cfg(target_arch = "x86_64")]
fn has_fast_bf16() -> bool {
    let vendor = std::arch::x86_64::__cpuid(0);
    let amd = (vendor.ebx, vendor.edx, vendor.ecx) == (0x6874_7541, 0x6974_6e65, 0x444d_4163);
    amd && is_x86_feature_detected!("avx512bf16")
}

#[cfg(not(target_arch = "x86_64"))]
fn detect() -> Level {
    Level::Portable
}

/// Defines a function that is compiled once per level and runs the form for this machine.
///
/// The body must be all there is: what it calls is compiled for the level only where it is inlined, so callees
/// are `#[inline(always)]`. A closure would not do, because a large one is compiled on its own, without the
/// level's instructions.
macro_rules! vectorized {
    ($(#[$meta:meta])* $visibility:vis fn $name:ident<$real:ident: $bound:ident>(
        $($argument:ident: $type:ty),* $(,)?
    ) $(-> $output:ty)? $body:block) => {
        $(#[$meta])*
        $visibility fn $name<$real: $bound>($($argument: $type),*) $(-> $output)? {
            #[inline(always)]
            fn body<$real: $bound>($($argument: $type),*) $(-> $output)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            fn avx512<$real: $bound>($($argument: $type),*) $(-> $output)? {
                body($($argument),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2<$real: $bound>($($argument: $type),*) $(-> $output)? {
                body($($argument),*)
            }

            #[cfg(target_arch = "x86_64")]
            match $crate::simd::level() {
                // SAFETY: `level` returned Avx512, so the processor has every feature the function enables.
                $crate::simd::Level::Avx512Bf16 | $crate::simd::Level::Avx512 => return unsafe { avx512($($argument),*) },
                // SAFETY: `level` returned Avx2, so the processor has every feature the function enables.
                $crate::simd::Level::Avx2 => return unsafe { avx2($($argument),*) },
                $crate::simd::Level::Portable => {}
            }
            body($($argument),*)
        }
    };
}
pub(crate) use vectorized;

/// Runs `body` compiled for this machine's level, if it is small enough for the compiler to inline; loops of
/// any size belong in `vectorized!`.
#[inline]
pub fn vectorize<T>(body: impl FnOnce() -> T) -> T {
    #[cfg(target_arch = "x86_64")]
    match level() {
        // SAFETY: `level` returned Avx512, so the processor has every feature the function enables.
        Level::Avx512Bf16 | Level::Avx512 => return unsafe { with_avx512(body) },
        // SAFETY: `level` returned Avx2, so the processor has every feature the function enables.
        Level::Avx2 => return unsafe { with_avx2(body) },
        Level::Portable => {}
    }
    body()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
fn with_avx512<T>(body: impl FnOnce() -> T) -> T {
    body()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn with_avx2<T>(body: impl FnOnce() -> T) -> T {
    body()
}
