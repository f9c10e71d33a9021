//! The bounds of admission: plain numbers, and the counts that are compared with them. Counting is in
//! [`super::admission`].
//!
//! The bounds are far above the counts of real programs. The largest counts seen in thirty of them (Ruby, Python, PHP,
//! clang, a C++ compiler, esbuild, yosys) are noted at each bound.

use crate::MODULE_BYTES_MAX;

/// Bounds on a module, or on all modules of a component together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Bounds {
    /// Total length, in bytes.
    pub bytes: u64,
    /// Functions with a body. Seen: 54,322.
    pub functions: u64,
    /// Bytes of one function's body. Seen: 442,480.
    pub body_bytes: u64,
    /// Parameters and locals of one function. Seen: 798.
    pub locals: u64,
    /// Blocks inside each other. Seen: 3,233.
    pub nesting: u64,
    /// Locals of a function times the loops that are open at once: a compiler may carry each local through each loop.
    /// Seen: 6,660.
    pub carried: u64,
    /// Targets of one `br_table`, or handlers of one `try_table`. Seen: 5,418.
    pub targets: u64,
    /// Exception handlers that are open at a call, summed over the calls of a function: the compiler makes a table of
    /// them for each call, and takes time that grows with the square of the sum, half a minute at this bound. Ten
    /// thousand calls below three handlers each are far below it.
    pub handlers: u64,
    /// The same of all functions. Code that unwinds through two or three scopes at each of the few million calls that a
    /// module of the longest length can have is below it.
    pub all_handlers: u64,
    /// Fields that one function sets to their defaults when it creates objects, and values that it takes out of caught
    /// exceptions: the compiler emits code for each, although the module names only the type. All initial values of a
    /// module's globals, tables and segments are one function. Compilers of languages with objects create each class
    /// in a function of its own, and a class has some tens to hundreds of fields.
    pub fields: u64,
    /// The same of all functions: a million objects of ten fields each.
    pub all_fields: u64,
    /// Parameters, or results, of one function type. Seen: 42.
    pub arity: u64,
    /// Types. Seen: 289.
    pub types: u64,
    /// Tags of exceptions.
    pub tags: u64,
    /// Imports. Seen: 59.
    pub imports: u64,
    /// Exports. Seen: 1,861.
    pub exports: u64,
    /// Globals. Seen: 646.
    pub globals: u64,
    /// Data segments. Seen: 100,000.
    pub data: u64,
    /// Element segments. Seen: 1.
    pub segments: u64,
    /// Elements of all segments. Seen: 17,141.
    pub elements: u64,
    /// Tables of one module. Seen: 1.
    pub tables: u64,
    /// Modules and components inside a component.
    pub modules: u64,
    /// Instances, aliases, and canonical functions of a component.
    pub links: u64,
}

impl Bounds {
    /// The bounds of a node.
    pub const NODE: Self = Self {
        bytes: MODULE_BYTES_MAX,
        functions: 200_000,
        body_bytes: 2 << 20,
        locals: 50_000,
        nesting: 10_000,
        carried: 1_000_000,
        targets: 65_536,
        handlers: 200_000,
        all_handlers: 10_000_000,
        fields: 200_000,
        all_fields: 10_000_000,
        arity: 256,
        types: 50_000,
        tags: 10_000,
        imports: 10_000,
        exports: 50_000,
        globals: 50_000,
        data: 100_000,
        segments: 10_000,
        elements: 1_000_000,
        tables: 100,
        modules: 100,
        links: 100_000,
    };

    /// The bounds of a node whose longest module has this many bytes. Counts that grow with the length of a program are
    /// scaled, those of one function are not.
    #[must_use]
    pub const fn of_modules(bytes: u64) -> Self {
        let times = bytes.div_ceil(Self::NODE.bytes);
        let Self {
            functions,
            all_handlers,
            all_fields,
            types,
            exports,
            globals,
            segments,
            elements,
            links,
            ..
        } = Self::NODE;
        Self {
            bytes,
            functions: functions.saturating_mul(times),
            all_handlers: all_handlers.saturating_mul(times),
            all_fields: all_fields.saturating_mul(times),
            types: types.saturating_mul(times),
            exports: exports.saturating_mul(times),
            globals: globals.saturating_mul(times),
            segments: segments.saturating_mul(times),
            elements: elements.saturating_mul(times),
            links: links.saturating_mul(times),
            ..Self::NODE
        }
    }
}

/// The counts of a module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(super) functions: u64,
    pub(super) body_bytes: u64,
    pub(super) locals: u64,
    pub(super) nesting: u64,
    pub(super) carried: u64,
    pub(super) targets: u64,
    pub(super) handlers: u64,
    pub(super) all_handlers: u64,
    pub(super) fields: u64,
    pub(super) all_fields: u64,
    pub(super) arity: u64,
    pub(super) types: u64,
    pub(super) tags: u64,
    pub(super) imports: u64,
    pub(super) exports: u64,
    pub(super) globals: u64,
    pub(super) data: u64,
    pub(super) segments: u64,
    pub(super) elements: u64,
    pub(super) tables: u64,
    pub(super) modules: u64,
    pub(super) links: u64,
}
