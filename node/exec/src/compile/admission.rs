//! Admission of a module before it is compiled: it must be valid, and no count in it may be beyond what real programs
//! have. One pass without compiling, about 5 ms for each MB. Compilers take more than linear time in some of these
//! counts, so these bounds are the first protection against compile bombs; a time limit and a memory limit, where
//! modules are compiled in a child, are the second.
//! The bounds are in [`super::bounds`].

use wasmparser::{
    BinaryReaderError, ConstExpr, ElementItems, FuncToValidate, FuncValidatorAllocations, FunctionBody,
    Operator, Parser, Payload, TableInit, ValidPayload, Validator, ValidatorResources, WasmFeatures,
};

use crate::code::Kind;
use crate::compile::bounds::{Bounds, Counts};
use crate::compile::compilation::CompileError;
use crate::compile::fields::Fields;
use crate::compile::proposals;
use crate::compile::shape::{Loops, Tries};
use crate::text::{plain, shorten};

/// The kind of a module, by its first bytes. Other bytes are refused with a text that says what they look like.
///
/// # Errors
/// [`CompileError::Invalid`] when they are not WebAssembly.
pub(crate) fn kind(bytes: &[u8]) -> Result<Kind, CompileError> {
    match bytes {
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => Ok(Kind::Core),
        [0, b'a', b's', b'm', _, 0, 1, 0, ..] => Ok(Kind::Component),
        [0, b'a', b's', b'm', ..] => {
            Err(CompileError::Invalid("it is WebAssembly of an unknown version".into()))
        }
        [] => Err(CompileError::Invalid("it is empty".into())),
        _ if bytes.trim_ascii_start().starts_with(b"(") => {
            Err(CompileError::Invalid("it looks like WebAssembly text; the binary format is needed".into()))
        }
        _ => Err(CompileError::Invalid("it is not WebAssembly: it does not begin with `\\0asm`".into())),
    }
}

/// See [`Bounds::fields`].
const FIELDS: &str = "default fields and caught values of one function";
/// See [`Bounds::all_fields`].
const ALL_FIELDS: &str = "default fields and caught values of all functions";

/// Why a module is not admitted.
enum Fault {
    /// A count exceeds its bound.
    Bound(CompileError),
    /// It is invalid with these features.
    Invalid(BinaryReaderError),
}

impl From<BinaryReaderError> for Fault {
    fn from(error: BinaryReaderError) -> Self {
        Self::Invalid(error)
    }
}

/// Checks a whole module or component.
///
/// # Errors
/// [`CompileError::Limit`] when a count exceeds its bound, [`CompileError::Invalid`] when the module is invalid or uses
/// a proposal that is not supported; the text names the proposal.
pub(crate) fn check(bytes: &[u8], bounds: &Bounds) -> Result<Counts, CompileError> {
    within("bytes", bytes.len() as u64, bounds.bytes)?;
    validate(bytes, bounds, proposals::RUN).map_err(|fault| match fault {
        Fault::Bound(compile_error) => compile_error,
        Fault::Invalid(error) => {
            let reach = |features| reach(bytes, bounds, features);
            let named = proposals::refusal(error.offset(), reach);
            CompileError::Invalid(named.unwrap_or_else(|| shorten(&plain(&error.to_string()), 600)))
        }
    })
}

/// The offset up to which a module is valid with these features, in bytes.
fn reach(bytes: &[u8], bounds: &Bounds, features: WasmFeatures) -> usize {
    match validate(bytes, bounds, features) {
        Ok(_) | Err(Fault::Bound(_)) => usize::MAX,
        Err(Fault::Invalid(error)) => error.offset(),
    }
}

fn validate(bytes: &[u8], bounds: &Bounds, features: WasmFeatures) -> Result<Counts, Fault> {
    let mut admission = Admission {
        bounds: *bounds,
        counts: Counts::default(),
        fields: Fields::default(),
        constant_fields: 0,
        validator: Validator::new_with_features(features),
        allocations: FuncValidatorAllocations::default(),
    };
    let mut parser = Parser::new(0);
    parser.set_features(features);
    for payload in parser.parse_all(bytes) {
        let payload = payload?;
        admission.count(&payload)?;
        if let ValidPayload::Func(function, body) = admission.validator.payload(&payload)? {
            admission.body(function, &body)?;
        }
        admission.constants(&payload)?;
    }
    Ok(admission.counts)
}

struct Admission {
    bounds: Bounds,
    counts: Counts,
    /// The fields of the current module's types.
    fields: Fields,
    /// Fields that the constant expressions of the current module set to their defaults.
    constant_fields: u64,
    validator: Validator,
    allocations: FuncValidatorAllocations,
}

impl Admission {
    /// Checks the counts that a section declares, before it is decoded.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "wasmparser's list is open; the validator looks at the rest"
    )]
    fn count(&mut self, payload: &Payload<'_>) -> Result<(), Fault> {
        let Bounds { types, imports, exports, globals, data, segments, tables, functions, .. } = self.bounds;
        let counts = &mut self.counts;
        match payload {
            Payload::TypeSection(section) => {
                add("types", &mut counts.types, section.count(), types)?;
                self.types(section)
            }
            Payload::TagSection(section) => add("tags", &mut counts.tags, section.count(), self.bounds.tags),
            Payload::ImportSection(section) => add("imports", &mut counts.imports, section.count(), imports),
            Payload::FunctionSection(section) => {
                add("functions", &mut counts.functions, section.count(), functions)
            }
            Payload::TableSection(section) => {
                add("tables", &mut counts.tables, section.count(), tables)?;
                for table in section.clone() {
                    let table = table?;
                    if let TableInit::Expr(_) = table.init {
                        // The compiler initialises it one element at a time.
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
    fn count_component(&mut self, payload: &Payload<'_>) -> Result<(), Fault> {
        let Bounds { types, imports, exports, modules, links, .. } = self.bounds;
        let counts = &mut self.counts;
        let mut link = |count: u32| add("instances and aliases", &mut counts.links, count, links);
        match payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                add("nested modules", &mut counts.modules, 1_u32, modules)
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

    fn types(&mut self, section: &wasmparser::TypeSectionReader<'_>) -> Result<(), Fault> {
        for group in section.clone() {
            let group = group?;
            // The section counts a group as one type.
            let others = u32::try_from(group.types().len().saturating_sub(1)).unwrap_or(u32::MAX);
            add("types", &mut self.counts.types, others, self.bounds.types)?;
            for ty in group.into_types() {
                self.fields.push(&ty.composite_type.inner);
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

    /// Counts the fields of objects that a section's constant expressions create. The section is valid.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "wasmparser's list is open; the others have no such expressions"
    )]
    fn constants(&mut self, payload: &Payload<'_>) -> Result<(), Fault> {
        match payload {
            // Of a module inside a component, too.
            Payload::Version { .. } => (self.fields, self.constant_fields) = (Fields::default(), 0),
            Payload::GlobalSection(section) => {
                for global in section.clone() {
                    self.constant(&global?.init_expr)?;
                }
            }
            Payload::TableSection(section) => {
                for table in section.clone() {
                    if let TableInit::Expr(constant) = table?.init {
                        self.constant(&constant)?;
                    }
                }
            }
            Payload::ElementSection(section) => {
                for segment in section.clone() {
                    self.constants_of(segment?.items)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn constants_of(&mut self, items: ElementItems<'_>) -> Result<(), Fault> {
        let ElementItems::Expressions(_, constants) = items else { return Ok(()) };
        for constant in constants {
            self.constant(&constant?)?;
        }
        Ok(())
    }

    /// The compiler makes one function of all constant expressions of a module.
    fn constant(&mut self, constant: &ConstExpr<'_>) -> Result<(), Fault> {
        let Bounds { fields, all_fields, .. } = self.bounds;
        for operator in constant.get_operators_reader() {
            let set = self.fields.set_by(&operator?);
            self.constant_fields = self.constant_fields.saturating_add(set);
            most(FIELDS, &mut self.counts.fields, self.constant_fields, fields)?;
            add(ALL_FIELDS, &mut self.counts.all_fields, set, all_fields)?;
        }
        Ok(())
    }

    fn elements(&mut self, section: &wasmparser::ElementSectionReader<'_>) -> Result<(), Fault> {
        for segment in section.clone() {
            let count = match segment?.items {
                ElementItems::Functions(items) => items.count(),
                ElementItems::Expressions(_, items) => items.count(),
            };
            add("elements", &mut self.counts.elements, count, self.bounds.elements)?;
        }
        Ok(())
    }

    /// Validates one function's body, and counts its loops, handlers and fields.
    fn body(
        &mut self,
        function: FuncToValidate<ValidatorResources>,
        body: &FunctionBody<'_>,
    ) -> Result<(), Fault> {
        let bounds = self.bounds;
        let counts = &mut self.counts;
        let body_bytes = body.range().len() as u64;
        most("bytes of a function's body", &mut counts.body_bytes, body_bytes, bounds.body_bytes)?;
        let mut validator = function.into_validator(std::mem::take(&mut self.allocations));
        let mut reader = body.get_binary_reader();
        validator.read_locals(&mut reader)?;
        let locals = u64::from(validator.len_locals());
        most("locals of a function", &mut counts.locals, locals, bounds.locals)?;
        let mut operators = wasmparser::OperatorsReader::new(reader);
        let (mut loops, mut tries) = (Loops::default(), Tries::default());
        let (mut handlers, mut fields) = (0, 0_u64);
        while !operators.eof() {
            let (operator, offset) = operators.read_with_offset()?;
            validator.op(offset, &operator)?;
            let depth = validator.control_stack_height();
            most("blocks inside each other", &mut counts.nesting, u64::from(depth), bounds.nesting)?;
            if let Operator::BrTable { targets } = &operator {
                let targets = u64::from(targets.len());
                most("targets of a br_table", &mut counts.targets, targets, bounds.targets)?;
            }
            if let Operator::TryTable { try_table } = &operator {
                let handlers = try_table.catches.len() as u64;
                most("handlers of a try_table", &mut counts.targets, handlers, bounds.targets)?;
            }
            handlers = tries.after(&operator, depth);
            most("open handlers of a function's calls", &mut counts.handlers, handlers, bounds.handlers)?;
            fields = fields.saturating_add(self.fields.used_by(&operator, validator.resources()));
            most(FIELDS, &mut counts.fields, fields, bounds.fields)?;
            let carried = loops.after(&operator, depth).saturating_mul(locals);
            most("locals times open loops of a function", &mut counts.carried, carried, bounds.carried)?;
        }
        operators.finish()?;
        add("open handlers of all calls", &mut counts.all_handlers, handlers, bounds.all_handlers)?;
        add(ALL_FIELDS, &mut counts.all_fields, fields, bounds.all_fields)?;
        self.allocations = validator.into_allocations();
        Ok(())
    }
}

fn add(what: &str, count: &mut u64, more: impl Into<u64>, most: u64) -> Result<(), Fault> {
    *count = count.saturating_add(more.into());
    within(what, *count, most).map_err(Fault::Bound)
}

fn most(what: &str, highest: &mut u64, found: u64, most: u64) -> Result<(), Fault> {
    *highest = found.max(*highest);
    within(what, found, most).map_err(Fault::Bound)
}

fn within(what: &str, found: u64, most: u64) -> Result<(), CompileError> {
    if found <= most {
        return Ok(());
    }
    Err(CompileError::Limit(format!("module: {found} {what}, the limit is {most}")))
}
