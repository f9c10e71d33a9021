//! A compiled module, recognised by its exports, checked against the host's functions, and linked, so that a run only
//! instantiates it. Immutable. Components are handled in [`crate::component`].

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use wasmtime::component::Component;
use wasmtime::{Engine, ExternType, FuncType, InstancePre, Module, ModuleExport, ValType};
use weft_core::Entry;

use crate::abi;
use crate::component;
use crate::engines::Lane;
use crate::guest::Guest;
use crate::imports;
use crate::make::EngineKey;
use crate::text::{list, quote, words};

const START: &str = "_start";
const INITIALIZE: &str = "_initialize";
const MEMORY: &str = "memory";

/// Compiled native code, as wasmtime has loaded it.
pub(crate) enum Compiled {
    Core(Module),
    Component(Component),
}

impl From<Module> for Compiled {
    fn from(module: Module) -> Self {
        Self::Core(module)
    }
}

impl From<Component> for Compiled {
    fn from(component: Component) -> Self {
        Self::Component(component)
    }
}

/// A module, compiled and linked. Can be run many times, from many threads.
pub struct Prepared {
    pub(crate) key: EngineKey,
    form: Form,
    exports: String,
    compile_time: Duration,
}

enum Form {
    Core(Core),
    Component(component::Command),
}

/// A core module that can be run.
pub(crate) struct Core {
    pub(crate) pre: InstancePre<Guest>,
    /// Whether it imports WASI.
    pub(crate) wasi: bool,
    initialize: Option<ModuleExport>,
    command: Option<ModuleExport>,
    functions: Option<Functions>,
}

struct Functions {
    memory: ModuleExport,
    alloc: ModuleExport,
    by_name: BTreeMap<String, ModuleExport>,
}

/// The exports that a task's entry needs.
#[derive(Clone, Copy)]
pub(crate) enum Door<'a> {
    /// `_start`.
    Command(&'a Core, &'a ModuleExport),
    /// A function of the guest ABI.
    Function(&'a Core, FunctionDoor<'a>),
    /// `wasi:cli/run`.
    Component(&'a component::Command),
}

impl Door<'_> {
    /// Whether the run can print anything: a function module without imports can't.
    pub(crate) fn prints(&self) -> bool {
        match self {
            Self::Command(..) | Self::Component(_) => true,
            Self::Function(core, _) => core.wasi,
        }
    }
}

/// The exports that a call of a function needs.
#[derive(Clone, Copy)]
pub(crate) struct FunctionDoor<'a> {
    pub(crate) initialize: Option<&'a ModuleExport>,
    pub(crate) memory: &'a ModuleExport,
    pub(crate) alloc: &'a ModuleExport,
    pub(crate) function: &'a ModuleExport,
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared")
            .field("key", &self.key)
            .field("exports", &self.exports)
            .finish_non_exhaustive()
    }
}

impl Prepared {
    /// Checks a compiled module and links it.
    ///
    /// # Errors
    /// With a text for the module's author, when it can't be run.
    pub(crate) fn new(
        key: EngineKey,
        lane: &Lane,
        compiled: &Compiled,
        compile_time: Duration,
    ) -> Result<Self, String> {
        let (form, exports) = match compiled {
            Compiled::Core(module) => {
                let exports = Exports::of(module);
                (Core::new(lane, module, &exports)?.map(Form::Core), exports.list())
            }
            Compiled::Component(component) => {
                let linker = lane.components().map_err(|error| words(&error))?;
                let command = component::Command::new(linker, component)?;
                (command.map(Form::Component), component::exports(component))
            }
        };
        let Some(form) = form else {
            return Err(format!("{}; it exports {exports}", looked_for()));
        };
        Ok(Self { key, form, exports, compile_time })
    }

    pub(crate) fn engine(&self) -> &Engine {
        match &self.form {
            Form::Core(core) => core.pre.module().engine(),
            Form::Component(command) => command.engine(),
        }
    }

    /// Length of the compiled code and its data, in bytes.
    pub(crate) fn code_bytes(&self) -> u64 {
        let range = match &self.form {
            Form::Core(core) => core.pre.module().image_range(),
            Form::Component(command) => command.image_range(),
        };
        (range.end as usize).saturating_sub(range.start as usize) as u64
    }

    /// How long compiling or loading took.
    #[must_use]
    pub fn compile_time(&self) -> Duration {
        self.compile_time
    }

    /// Whether it is a command.
    #[must_use]
    pub fn is_command(&self) -> bool {
        match &self.form {
            Form::Core(core) => core.command.is_some(),
            Form::Component(_) => true,
        }
    }

    /// Names of its functions of the guest ABI, without their prefix.
    pub fn functions(&self) -> impl Iterator<Item = &str> {
        let functions = match &self.form {
            Form::Core(core) => core.functions.as_ref(),
            Form::Component(_) => None,
        };
        functions.into_iter().flat_map(|functions| functions.by_name.keys()).map(String::as_str)
    }

    /// The exports that this entry needs.
    ///
    /// # Errors
    /// With a text for the task's author, when the module lacks them.
    pub(crate) fn door(&self, entry: &Entry) -> Result<Door<'_>, String> {
        match (entry, &self.form) {
            (Entry::Command | Entry::Parcel, Form::Component(command)) => Ok(Door::Component(command)),
            (Entry::Command | Entry::Parcel, Form::Core(core)) => {
                core.command.as_ref().map(|export| Door::Command(core, export)).ok_or_else(|| {
                    format!("no command: looked for an export `{START}`; the module exports {}", self.exports)
                })
            }
            (Entry::Function(name), Form::Core(core)) => core
                .function(name)
                .map(|door| Door::Function(core, door))
                .ok_or_else(|| self.no_function(name, "")),
            (Entry::Function(name), Form::Component(_)) => {
                Err(self.no_function(name, " of a core module, and this is a component"))
            }
        }
    }

    fn no_function(&self, name: &str, of: &str) -> String {
        let (name, prefix, exports) = (quote(name), abi::FUNCTION_PREFIX, &self.exports);
        format!(
            "no function `{name}`: looked for an export `{prefix}{name}`{of}; the module exports {exports}"
        )
    }
}

impl Core {
    /// `None` if it is neither a command nor a function module.
    fn new(lane: &Lane, module: &Module, exports: &Exports<'_>) -> Result<Option<Self>, String> {
        let command = exports.function(START, &[], &[])?;
        let functions = exports.functions()?;
        if command.is_none() && functions.is_none() {
            return Ok(None);
        }
        let initialize = exports.function(INITIALIZE, &[], &[])?;
        check_imports(lane, module)?;
        let pre = lane.linker.instantiate_pre(module).map_err(|error| words(&error))?;
        let wasi = module.imports().len() > 0;
        Ok(Some(Self { pre, wasi, initialize, command, functions }))
    }

    fn function(&self, name: &str) -> Option<FunctionDoor<'_>> {
        let all = self.functions.as_ref()?;
        let function = all.by_name.get(name)?;
        let initialize = self.initialize.as_ref();
        Some(FunctionDoor { initialize, memory: &all.memory, alloc: &all.alloc, function })
    }
}

/// What a module must export to be run.
fn looked_for() -> String {
    format!(
        "neither a WASI preview 1 command (a core module with an export `{START}`), nor a preview 2 command (a \
         component with an export `{}`), nor a function module (a core module with exports `{MEMORY}`, `{}` and \
         `{}*`, guest ABI v1)",
        component::RUN_NAME,
        abi::ALLOC,
        abi::FUNCTION_PREFIX
    )
}

/// A module's exports, by name.
struct Exports<'a> {
    module: &'a Module,
    types: BTreeMap<&'a str, ExternType>,
}

impl<'a> Exports<'a> {
    fn of(module: &'a Module) -> Self {
        Self { module, types: module.exports().map(|export| (export.name(), export.ty())).collect() }
    }

    fn index(&self, name: &str) -> ModuleExport {
        self.module.get_export_index(name).expect("the name was listed by this module")
    }

    /// The export of this name, if there is one.
    ///
    /// # Errors
    /// When it is not a function of this type.
    fn function(
        &self,
        name: &str,
        params: &[ValType],
        results: &[ValType],
    ) -> Result<Option<ModuleExport>, String> {
        let Some(found) = self.types.get(name) else { return Ok(None) };
        if found.func().is_some_and(|found| is_type(found, params, results)) {
            return Ok(Some(self.index(name)));
        }
        let name = quote(name);
        Err(format!("the export `{name}` must be a function {}", signature(params, results)))
    }

    /// The exports of the guest ABI; `None` if the module exports no function of it.
    fn functions(&self) -> Result<Option<Functions>, String> {
        let mut by_name = BTreeMap::new();
        for name in self.types.keys() {
            let Some(short) = name.strip_prefix(abi::FUNCTION_PREFIX) else { continue };
            let function = self.function(name, &[ValType::I32, ValType::I32], &[ValType::I64])?;
            by_name.extend(function.map(|function| (short.to_owned(), function)));
        }
        if by_name.is_empty() {
            return Ok(None);
        }
        let alloc = self.function(abi::ALLOC, &[ValType::I32], &[ValType::I32])?;
        let memory = self.types.get(MEMORY).is_some_and(|found| found.memory().is_some());
        let (Some(alloc), true) = (alloc, memory) else {
            return Err(format!(
                "it has functions of the guest ABI, but not both a memory `{MEMORY}` and `{}`; it exports {}",
                abi::ALLOC,
                self.list()
            ));
        };
        Ok(Some(Functions { memory: self.index(MEMORY), alloc, by_name }))
    }

    fn list(&self) -> String {
        list(self.types.keys().map(|name| format!("`{}`", quote(name))))
    }
}

fn check_imports(lane: &Lane, module: &Module) -> Result<(), String> {
    let missing: Vec<(String, String)> = module
        .imports()
        .map(|import| (import.module().to_owned(), import.name().to_owned()))
        .filter(|name| !lane.offers.contains(name))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let help = imports::help(&missing).map(|help| format!("; {help}")).unwrap_or_default();
    let missing = list(missing.iter().map(|(module, name)| format!("`{}::{}`", quote(module), quote(name))));
    Err(format!(
        "it imports {missing}; a task may import WASI preview 1 (`wasi_snapshot_preview1`, `wasi_unstable`) or \
         nothing{help}"
    ))
}

fn is_type(found: &FuncType, params: &[ValType], results: &[ValType]) -> bool {
    let same = |found: &mut dyn Iterator<Item = ValType>, wanted: &[ValType]| {
        found.map(|ty| ty.to_string()).eq(wanted.iter().map(ToString::to_string))
    };
    same(&mut found.params(), params) && same(&mut found.results(), results)
}

fn signature(params: &[ValType], results: &[ValType]) -> String {
    let join = |types: &[ValType]| types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    format!("({}) -> ({})", join(params), join(results))
}
