//! What compiling a component may cost, and who does it.
//!
//! A compiler takes as long as a component makes it: machine code of an hour fits into a few megabytes. So a
//! component is measured first, which takes a moment, and compiled by a process of its own where the host was given
//! a [`Compiler`]; that process has limits on processor time and memory, and ends without harm to anybody.

use std::fmt;
use std::time::Duration;

use wasmparser::{Operator, Parser, Payload};
use wasmtime::{Config, Engine};

use crate::error::Fault;
use crate::limits::MAX_STACK_BYTES;

/// The most bytes of a component.
pub(crate) const MAX_COMPONENT_BYTES: u64 = 256 << 20;
/// The most bytes of code: an interpreter of Python has a fifth of that.
const MAX_CODE_BYTES: u64 = 32 << 20;
/// The most functions of a component: an interpreter of Python has 13 000.
const MAX_FUNCTIONS: u64 = 100_000;
/// The most bytes of one function: compilers take more than twice as long for twice as much.
const MAX_FUNCTION_BYTES: u64 = 2 << 20;
/// The deepest loop inside of loops.
const MAX_LOOPS: u64 = 200;
/// The deepest block inside of blocks: a `switch` has one for each of its cases.
const MAX_BLOCKS: u64 = 20_000;
/// The most globals, elements of tables, types and other things that a component declares one by one. An instance holds
/// some of them.
const MAX_DECLARED: u64 = 1_000_000;
/// Processor time of compiling anything, and for each mebibyte of code more.
const TIME: Duration = Duration::from_secs(20);
const TIME_OF_MEBIBYTE: Duration = Duration::from_secs(20);
/// Memory of compiling anything, and for each byte of code and each of the component more. What an allocator keeps for
/// its threads after use counts, so it is half as much again as what is used at a time.
const MEMORY_BYTES: u64 = 1 << 30;
const MEMORY_OF_CODE: u64 = 800;
const MEMORY_OF_COMPONENT: u64 = 12;

/// The engines that code is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The engine that is cut by time.
    Timed,
    /// The engine that counts work.
    Metered,
}

impl Kind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Timed, Self::Metered];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timed => "timed",
            Self::Metered => "metered",
        }
    }
}

/// A component to be compiled, with what that may cost.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// For which engine.
    pub kind: Kind,
    /// The component.
    pub component: &'a [u8],
    /// Processor time.
    pub time: Duration,
    /// Memory.
    pub memory_bytes: u64,
}

/// Why a component was not compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// The bytes are no valid component; the reason is the compiler's.
    #[error("{0}")]
    Damaged(String),
    /// Compiling took more processor time or memory than the order allows; the limit that was met, in words.
    #[error("compiling it took more than {0}")]
    Cost(String),
    /// The compiler ended without machine code and without a reason of its own.
    #[error("compiling it failed: {0}")]
    Broke(String),
}

/// Somebody who compiles components within limits.
pub trait Compiler: Send + Sync {
    /// The machine code, as [`compile`] makes it.
    ///
    /// # Errors
    /// When the component is none, or costs more than it may.
    fn compile(&self, order: &Order<'_>) -> Result<Vec<u8>, CompileError>;
}

/// Compiles a component in this process.
///
/// # Errors
/// When it is none.
pub fn compile(kind: Kind, component: &[u8]) -> Result<Vec<u8>, String> {
    let engine = Engine::new(&engine_settings(kind)).map_err(|error| format!("{error:#}"))?;
    engine.precompile_component(component).map_err(|error| error.root_cause().to_string())
}

/// Everything here that can change a guest's result makes it the same on every machine.
pub(crate) fn engine_settings(kind: Kind) -> Config {
    let mut settings = Config::new();
    settings
        .consume_fuel(kind == Kind::Metered)
        .epoch_interruption(true)
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        // For debuggers and profilers only; large components load faster without.
        .generate_address_map(false)
        .native_unwind_info(false)
        .max_wasm_stack(MAX_STACK_BYTES);
    settings
}

/// What a component is, as far as compiling it is concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Size {
    component_bytes: u64,
    code_bytes: u64,
    functions: u64,
    declared: u64,
    largest_bytes: u64,
    loops: u64,
    blocks: u64,
}

/// What an `end` in a function closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opened {
    Loop,
    Block,
}

impl Size {
    /// Reads through a component. What cannot be read is left for whoever compiles it to complain about.
    pub(crate) fn of(component: &[u8]) -> Self {
        let mut size = Self { component_bytes: component.len() as u64, ..Self::default() };
        for payload in Parser::new(0).parse_all(component) {
            let Ok(payload) = payload else { break };
            size.add(&payload);
        }
        size
    }

    fn add(&mut self, payload: &Payload<'_>) {
        match payload {
            Payload::CodeSectionEntry(body) => {
                let range = body.range();
                let bytes = (range.end - range.start) as u64;
                self.functions += 1;
                self.code_bytes += bytes;
                self.largest_bytes = self.largest_bytes.max(bytes);
                if let Ok(operators) = body.get_operators_reader() {
                    self.nesting(operators);
                }
            }
            Payload::TypeSection(all) => self.declare(all.count()),
            Payload::ImportSection(all) => self.declare(all.count()),
            Payload::GlobalSection(all) => self.declare(all.count()),
            Payload::TableSection(all) => self.declare(all.count()),
            Payload::MemorySection(all) => self.declare(all.count()),
            Payload::ExportSection(all) => self.declare(all.count()),
            Payload::DataSection(all) => self.declare(all.count()),
            Payload::ElementSection(all) => {
                self.declare(all.count());
                for element in all.clone().into_iter().flatten() {
                    self.declare(match element.items {
                        wasmparser::ElementItems::Functions(items) => items.count(),
                        wasmparser::ElementItems::Expressions(_, items) => items.count(),
                    });
                }
            }
            Payload::InstanceSection(all) => self.declare(all.count()),
            Payload::CoreTypeSection(all) => self.declare(all.count()),
            Payload::ComponentInstanceSection(all) => self.declare(all.count()),
            Payload::ComponentAliasSection(all) => self.declare(all.count()),
            Payload::ComponentTypeSection(all) => self.declare(all.count()),
            Payload::ComponentCanonicalSection(all) => self.declare(all.count()),
            Payload::ComponentImportSection(all) => self.declare(all.count()),
            Payload::ComponentExportSection(all) => self.declare(all.count()),
            _ => {}
        }
    }

    fn declare(&mut self, count: u32) {
        self.declared += u64::from(count);
    }

    /// How deep the blocks and the loops of a function lie in each other.
    fn nesting(&mut self, operators: wasmparser::OperatorsReader<'_>) {
        let mut open = Vec::new();
        let mut loops = 0u64;
        for operator in operators {
            match operator {
                Ok(Operator::Loop { .. }) => {
                    open.push(Opened::Loop);
                    loops += 1;
                }
                Ok(Operator::Block { .. } | Operator::If { .. } | Operator::TryTable { .. }) => {
                    open.push(Opened::Block);
                }
                Ok(Operator::End) => loops -= u64::from(open.pop() == Some(Opened::Loop)),
                Ok(_) => continue,
                Err(_) => return,
            }
            self.loops = self.loops.max(loops);
            self.blocks = self.blocks.max(open.len() as u64);
        }
    }

    /// Whether it may be compiled at all, where limits count `scale` times.
    pub(crate) fn check(&self, scale: u32) -> Result<(), Fault> {
        let scale = u64::from(scale);
        for (what, is, most) in [
            ("bytes", self.component_bytes, MAX_COMPONENT_BYTES),
            ("bytes of code", self.code_bytes, MAX_CODE_BYTES),
            ("functions", self.functions, MAX_FUNCTIONS),
            ("bytes in one function", self.largest_bytes, MAX_FUNCTION_BYTES),
            ("loops inside of each other", self.loops, MAX_LOOPS),
            ("blocks inside of each other", self.blocks, MAX_BLOCKS),
            ("types, globals, elements and the like", self.declared, MAX_DECLARED),
        ] {
            if is > most.saturating_mul(scale) {
                return Err(Fault::TooMuch(format!(
                    "{is} {what}, and {} are the most",
                    most * scale
                )));
            }
        }
        Ok(())
    }

    /// What compiling it may cost, where limits count `scale` times.
    pub(crate) fn order<'a>(&self, kind: Kind, component: &'a [u8], scale: u32) -> Order<'a> {
        let mebibytes = self.code_bytes as f64 / f64::from(1 << 20);
        let memory_bytes = MEMORY_BYTES
            + MEMORY_OF_CODE * self.code_bytes
            + MEMORY_OF_COMPONENT * self.component_bytes;
        Order {
            kind,
            component,
            time: (TIME + TIME_OF_MEBIBYTE.mul_f64(mebibytes)).saturating_mul(scale),
            memory_bytes: memory_bytes.saturating_mul(u64::from(scale)),
        }
    }
}

impl fmt::Debug for dyn Compiler {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Compiler")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(text: &str) -> Size {
        Size::of(&wat::parse_str(text).unwrap())
    }

    #[test]
    fn functions_of_every_module_are_counted_and_measured() {
        let size = size(
            "(component
               (core module (func) (func (loop (block (loop nop)) (loop nop))))
               (component (core module (global i32 (i32.const 0)) (func (if (i32.const 1) (then nop))))))",
        );
        assert_eq!((size.functions, size.loops, size.blocks), (3, 2, 3));
        assert!(size.largest_bytes > 10 && size.code_bytes > size.largest_bytes, "{size:?}");
        assert!(size.check(1).is_ok());
    }

    #[test]
    fn what_takes_a_compiler_long_is_refused_and_named() {
        let nested = |word: &str, depth: u64| {
            let depth = usize::try_from(depth).unwrap();
            let (open, close) = (format!("({word} ").repeat(depth), ")".repeat(depth));
            size(&format!("(component (core module (func {open}{close})))"))
        };
        for (size, told) in [
            (nested("loop", MAX_LOOPS + 1), "201 loops inside of each other, and 200 are the most"),
            (Size { blocks: 20_001, ..Size::default() }, "20001 blocks inside of each other"),
            (Size { functions: 100_001, ..Size::default() }, "100001 functions, and 100000 are"),
            (Size { largest_bytes: 3 << 20, ..Size::default() }, "3145728 bytes in one function"),
            (Size { code_bytes: 33 << 20, ..Size::default() }, "34603008 bytes of code"),
            (Size { declared: 1_000_001, ..Size::default() }, "1000001 types, globals, elements"),
        ] {
            let error = size.check(1).err().map(|fault| fault.to_string()).unwrap_or_default();
            assert!(error.contains(told), "{error}: {told}");
            assert!(size.check(2).is_ok(), "limits count twice when that is asked for");
        }
        assert!(nested("loop", MAX_LOOPS).check(1).is_ok());
    }

    #[test]
    fn a_larger_component_may_cost_more() {
        let size = Size { component_bytes: 27 << 20, code_bytes: 6 << 20, ..Size::default() };
        let order = size.order(Kind::Timed, &[], 1);
        assert_eq!(order.time, Duration::from_secs(140));
        assert_eq!(order.memory_bytes, (1024 + 800 * 6 + 12 * 27) << 20);
        assert_eq!(size.order(Kind::Timed, &[], 3).time, Duration::from_secs(420));
    }
}
