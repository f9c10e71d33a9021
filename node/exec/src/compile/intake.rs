//! What is looked at before anything is compiled: that the module is valid, and that no count in it is beyond what real
//! programs have. One pass, without compiling; about 5 ms a megabyte. Compilers take more than linear time in some of
//! these counts, so they are the first fence around a compile bomb; a deadline and a bound on memory, where modules
//! are compiled in a child, are the second.
//!
//! The bounds are far above the counts of real programs. The largest seen in thirty of them (Ruby, Python, PHP, clang,
//! a C++ compiler, esbuild, yosys) are noted beside each.

use std::fmt::Display;

use wasmparser::{
    FuncToValidate, FuncValidatorAllocations, FunctionBody, Operator, Parser, Payload, TableInit,
    ValidPayload, Validator, ValidatorResources, WasmFeatures,
};

use crate::MODULE_BYTES_MAX;
use crate::code::Kind;
use crate::compile::work::Flaw;
use crate::module::{plain, shorten};

/// What may be in a module, or in all modules of a component together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Bounds {
    /// Bytes in all.
    pub bytes: u64,
    /// Functions with a body. Seen: 54,322.
    pub functions: u64,
    /// Bytes of one function's body. Seen: 442,480.
    pub body_bytes: u64,
    /// Parameters and locals of one function. Seen: 798.
    pub locals: u64,
    /// Blocks inside each other. Seen: 3,233.
    pub nesting: u64,
    /// Locals of a function times the loops that are open at once: a compiler may carry each local through each loop. Seen: 6,660.
    pub carried: u64,
    /// Targets of one `br_table`. Seen: 5,418.
    pub targets: u64,
    /// Parameters, or results, of one function type. Seen: 42.
    pub arity: u64,
    /// Types. Seen: 289.
    pub types: u64,
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
    /// What a node takes.
    pub const NODE: Self = Self {
        bytes: MODULE_BYTES_MAX,
        functions: 200_000,
        body_bytes: 2 << 20,
        locals: 50_000,
        nesting: 10_000,
        carried: 1_000_000,
        targets: 65_536,
        arity: 256,
        types: 50_000,
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
}

/// What was found in a module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    functions: u64,
    body_bytes: u64,
    locals: u64,
    nesting: u64,
    carried: u64,
    targets: u64,
    arity: u64,
    types: u64,
    imports: u64,
    exports: u64,
    globals: u64,
    data: u64,
    segments: u64,
    elements: u64,
    tables: u64,
    modules: u64,
    links: u64,
}

/// What the bytes are, by how they begin; all else is refused with a word about what they look like.
///
/// # Errors
/// [`Flaw::Invalid`] when they are no WebAssembly at all.
pub(crate) fn kind(bytes: &[u8]) -> Result<Kind, Flaw> {
    match bytes {
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => Ok(Kind::Core),
        [0, b'a', b's', b'm', _, 0, 1, 0, ..] => Ok(Kind::Component),
        [0, b'a', b's', b'm', ..] => Err(Flaw::Invalid("it is WebAssembly of an unknown version".into())),
        [] => Err(Flaw::Invalid("it is empty".into())),
        _ if bytes.trim_ascii_start().starts_with(b"(") => {
            Err(Flaw::Invalid("it looks like WebAssembly text; the binary format is needed".into()))
        }
        _ => Err(Flaw::Invalid("it is not WebAssembly: it does not begin with `\\0asm`".into())),
    }
}

/// Looks at a whole module or component.
///
/// # Errors
/// [`Flaw::Limit`] when a count is beyond its bound, [`Flaw::Invalid`] when it is no valid module.
pub(crate) fn check(bytes: &[u8], bounds: &Bounds) -> Result<Counts, Flaw> {
    within("bytes", bytes.len() as u64, bounds.bytes)?;
    let mut intake = Intake {
        bounds: *bounds,
        counts: Counts::default(),
        validator: Validator::new_with_features(FEATURES),
        allocations: FuncValidatorAllocations::default(),
    };
    let mut parser = Parser::new(0);
    parser.set_features(FEATURES);
    for payload in parser.parse_all(bytes) {
        let payload = payload.map_err(invalid)?;
        intake.count(&payload)?;
        if let ValidPayload::Func(function, body) = intake.validator.payload(&payload).map_err(invalid)? {
            intake.body(function, &body)?;
        }
    }
    Ok(intake.counts)
}

/// What an engine of ours takes, and a little more: what one lacks, its compiler refuses with its own words.
const FEATURES: WasmFeatures = WasmFeatures::WASM3.union(WasmFeatures::COMPONENT_MODEL).difference(LACKING);
/// What no engine of ours takes, though it is in the standard.
const LACKING: WasmFeatures =
    WasmFeatures::GC_TYPES.union(WasmFeatures::EXCEPTIONS).union(WasmFeatures::MEMORY64);

struct Intake {
    bounds: Bounds,
    counts: Counts,
    validator: Validator,
    allocations: FuncValidatorAllocations,
}

impl Intake {
    /// Counts what a section says that it has, before anything is made of it.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "wasmparser's list is open; the validator looks at the rest"
    )]
    fn count(&mut self, payload: &Payload<'_>) -> Result<(), Flaw> {
        let Bounds { types, imports, exports, globals, data, segments, tables, functions, .. } = self.bounds;
        let counts = &mut self.counts;
        match payload {
            Payload::TypeSection(section) => {
                add("types", &mut counts.types, section.count(), types)?;
                self.types(section)
            }
            Payload::ImportSection(section) => add("imports", &mut counts.imports, section.count(), imports),
            Payload::FunctionSection(section) => {
                add("functions", &mut counts.functions, section.count(), functions)
            }
            Payload::TableSection(section) => {
                add("tables", &mut counts.tables, section.count(), tables)?;
                for table in section.clone() {
                    let table = table.map_err(invalid)?;
                    if let TableInit::Expr(_) = table.init {
                        // Initialised one element at a time.
                        let elements = u32::try_from(table.ty.initial).unwrap_or(u32::MAX);
                        add("elements", &mut counts.elements, elements, self.bounds.elements)?;
                    }
                }
                Ok(())
            }
            Payload::GlobalSection(section) => add("globals", &mut counts.globals, section.count(), globals),
            Payload::ExportSection(section) => add("exports", &mut counts.exports, section.count(), exports),
            Payload::ElementSection(section) => {
                add("element segments", &mut counts.segments, section.count(), segments)?;
                self.elements(section)
            }
            Payload::DataSection(section) => add("data segments", &mut counts.data, section.count(), data),
            other => self.count_component(other),
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "wasmparser's list is open; the validator looks at the rest"
    )]
    fn count_component(&mut self, payload: &Payload<'_>) -> Result<(), Flaw> {
        let Bounds { types, imports, exports, modules, links, .. } = self.bounds;
        let counts = &mut self.counts;
        let mut link = |count| add("instances and aliases", &mut counts.links, count, links);
        match payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                add("nested modules", &mut counts.modules, 1, modules)
            }
            Payload::InstanceSection(section) => link(section.count()),
            Payload::ComponentInstanceSection(section) => link(section.count()),
            Payload::ComponentAliasSection(section) => link(section.count()),
            Payload::ComponentCanonicalSection(section) => link(section.count()),
            Payload::CoreTypeSection(section) => add("types", &mut counts.types, section.count(), types),
            Payload::ComponentTypeSection(section) => add("types", &mut counts.types, section.count(), types),
            Payload::ComponentImportSection(section) => {
                add("imports", &mut counts.imports, section.count(), imports)
            }
            Payload::ComponentExportSection(section) => {
                add("exports", &mut counts.exports, section.count(), exports)
            }
            _ => Ok(()),
        }
    }

    fn types(&mut self, section: &wasmparser::TypeSectionReader<'_>) -> Result<(), Flaw> {
        for group in section.clone() {
            for ty in group.map_err(invalid)?.into_types() {
                if let wasmparser::CompositeInnerType::Func(function) = &ty.composite_type.inner {
                    let arity = function.params().len().max(function.results().len()) as u64;
                    most(
                        "parameters or results of a function type",
                        &mut self.counts.arity,
                        arity,
                        self.bounds.arity,
                    )?;
                }
            }
        }
        Ok(())
    }

    fn elements(&mut self, section: &wasmparser::ElementSectionReader<'_>) -> Result<(), Flaw> {
        for segment in section.clone() {
            let count = match segment.map_err(invalid)?.items {
                wasmparser::ElementItems::Functions(items) => items.count(),
                wasmparser::ElementItems::Expressions(_, items) => items.count(),
            };
            add("elements", &mut self.counts.elements, count, self.bounds.elements)?;
        }
        Ok(())
    }

    /// Validates one function's body, and looks at its shape meanwhile.
    fn body(
        &mut self,
        function: FuncToValidate<ValidatorResources>,
        body: &FunctionBody<'_>,
    ) -> Result<(), Flaw> {
        let bounds = self.bounds;
        let counts = &mut self.counts;
        let body_bytes = body.range().len() as u64;
        most("bytes of a function's body", &mut counts.body_bytes, body_bytes, bounds.body_bytes)?;
        let mut validator = function.into_validator(std::mem::take(&mut self.allocations));
        let mut reader = body.get_binary_reader();
        validator.read_locals(&mut reader).map_err(invalid)?;
        let locals = u64::from(validator.len_locals());
        most("locals of a function", &mut counts.locals, locals, bounds.locals)?;
        let mut operators = wasmparser::OperatorsReader::new(reader);
        let mut loops = Loops::default();
        while !operators.eof() {
            let (operator, offset) = operators.read_with_offset().map_err(invalid)?;
            validator.op(offset, &operator).map_err(invalid)?;
            let depth = validator.control_stack_height();
            most("blocks inside each other", &mut counts.nesting, u64::from(depth), bounds.nesting)?;
            if let Operator::BrTable { targets } = &operator {
                let targets = u64::from(targets.len());
                most("targets of a br_table", &mut counts.targets, targets, bounds.targets)?;
            }
            let carried = loops.after(&operator, depth).saturating_mul(locals);
            most("locals times open loops of a function", &mut counts.carried, carried, bounds.carried)?;
        }
        operators.finish().map_err(invalid)?;
        self.allocations = validator.into_allocations();
        Ok(())
    }
}

/// The depths at which loops are open.
#[derive(Default)]
struct Loops(Vec<u32>);

impl Loops {
    /// How many loops are open after this operator, which left the control stack this high.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "wasmparser's list is open; only these open or close a loop"
    )]
    fn after(&mut self, operator: &Operator<'_>, depth: u32) -> u64 {
        match operator {
            Operator::Loop { .. } => self.0.push(depth),
            Operator::End => {
                while self.0.last().is_some_and(|open| *open > depth) {
                    self.0.pop();
                }
            }
            _ => {}
        }
        self.0.len() as u64
    }
}

fn add(what: &str, count: &mut u64, more: u32, most: u64) -> Result<(), Flaw> {
    *count = count.saturating_add(u64::from(more));
    within(what, *count, most)
}

fn most(what: &str, highest: &mut u64, found: u64, most: u64) -> Result<(), Flaw> {
    *highest = found.max(*highest);
    within(what, found, most)
}

fn within(what: &str, found: u64, most: u64) -> Result<(), Flaw> {
    if found <= most {
        return Ok(());
    }
    Err(Flaw::Limit(format!("module: {found} {what}, the limit is {most}")))
}

fn invalid(error: impl Display) -> Flaw {
    Flaw::Invalid(shorten(&plain(&error.to_string()), 600))
}
