//! `wasi:sockets` and `wasi:http`, which a task can't use: a program that imports them runs, and each call that would
//! reach the network returns "access denied".
//!
//! The functions are defined from the types that the component imports: each returns the error of its own type if it
//! has one, and an empty value otherwise. So every version of the interfaces links.

use wasmtime::component::types::{ComponentFunc, ComponentInstance, ComponentItem, Type};
use wasmtime::component::{LinkerInstance, Resource, ResourceAny, ResourceType, Val};
use wasmtime::{Engine, StoreContextMut};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, IoError};

use crate::component::table::{Entry, Wait};
use crate::guest::Guest;

/// Interfaces that are linked this way.
const PREFIXES: [&str; 2] = ["wasi:sockets/", "wasi:http/"];
/// Names of errors to return, best first: those of sockets, of http, and common ones.
const DENIALS: [&str; 4] = ["access-denied", "HTTP-request-denied", "not-supported", "internal-error"];
/// Most levels of nested values; the real interfaces have four or five.
const DEPTH_MAX: u32 = 16;

/// The type of all resources of these interfaces.
#[derive(Debug)]
struct Denied;

/// Whether an import of this name is denied.
pub(crate) fn is_denied(interface: &str) -> bool {
    PREFIXES.iter().any(|prefix| interface.starts_with(prefix))
}

/// Defines everything that the component imports of one such interface.
///
/// # Errors
/// When it imports something that no interface has.
pub(crate) fn define(
    linker: &mut LinkerInstance<'_, Guest>,
    engine: &Engine,
    wanted: &ComponentInstance,
) -> wasmtime::Result<()> {
    for (name, item) in wanted.exports(engine) {
        match item.ty {
            ComponentItem::ComponentFunc(_) => linker.func_new(name, answer)?,
            ComponentItem::Resource(_) => {
                linker.resource(name, resource(name), dropped(name))?;
            }
            ComponentItem::Type(_) => {}
            ComponentItem::CoreFunc(_)
            | ComponentItem::Module(_)
            | ComponentItem::Component(_)
            | ComponentItem::ComponentInstance(_) => {
                return Err(wasmtime::Error::msg(format!("`{name}` is no function and no resource")));
            }
        }
    }
    Ok(())
}

/// The resource type of this name: one of `wasi:io` if the interface uses it, else [`Denied`].
fn resource(name: &str) -> ResourceType {
    match name {
        "pollable" => ResourceType::host::<DynPollable>(),
        "input-stream" => ResourceType::host::<DynInputStream>(),
        "output-stream" => ResourceType::host::<DynOutputStream>(),
        "error" | "io-error" => ResourceType::host::<IoError>(),
        _ => ResourceType::host::<Denied>(),
    }
}

/// The destructor of a resource: only those of `wasi:io` are in the table.
fn dropped(name: &str) -> impl Fn(StoreContextMut<'_, Guest>, u32) -> wasmtime::Result<()> + use<> {
    let kept = resource(name) != ResourceType::host::<Denied>();
    move |mut store, rep| {
        if kept { store.data_mut().release(&Resource::<Denied>::new_own(rep)) } else { Ok(()) }
    }
}

fn answer(
    mut store: StoreContextMut<'_, Guest>,
    function: ComponentFunc,
    _: &[Val],
    results: &mut [Val],
) -> wasmtime::Result<()> {
    for (result, ty) in results.iter_mut().zip(function.results()) {
        *result = denial(&mut store, &ty, DEPTH_MAX)?;
    }
    Ok(())
}

/// The value of this type that denies the call.
fn denial(store: &mut StoreContextMut<'_, Guest>, ty: &Type, depth: u32) -> wasmtime::Result<Val> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(wasmtime::Error::msg("the network is not permitted"));
    };
    let boxed = |store: &mut StoreContextMut<'_, Guest>, ty: Option<Type>| {
        ty.map(|ty| denial(store, &ty, depth).map(Box::new)).transpose()
    };
    Ok(match ty {
        Type::Result(result) => match result.err() {
            Some(error) => Val::Result(Err(boxed(store, Some(error))?)),
            // Setting a header or a method may succeed; sending must not.
            None => Val::Result(Ok(boxed(store, result.ok())?)),
        },
        Type::Variant(variant) => {
            let cases: Vec<(String, Option<Type>)> =
                variant.cases().map(|case| (case.name.to_owned(), case.ty)).collect();
            let (name, payload) = pick(cases, |(name, _)| name)?;
            Val::Variant(name, boxed(store, payload)?)
        }
        Type::Enum(names) => Val::Enum(pick(names.names().map(str::to_owned).collect(), |name| name)?),
        Type::Option(_) => Val::Option(None),
        Type::List(_) => Val::List(Vec::new()),
        Type::Map(_) => Val::Map(Vec::new()),
        Type::Flags(_) => Val::Flags(Vec::new()),
        Type::Tuple(tuple) => {
            Val::Tuple(tuple.types().map(|ty| denial(store, &ty, depth)).collect::<wasmtime::Result<_>>()?)
        }
        Type::Record(record) => {
            let fields =
                record.fields().map(|field| Ok((field.name.to_owned(), denial(store, &field.ty, depth)?)));
            Val::Record(fields.collect::<wasmtime::Result<_>>()?)
        }
        Type::Own(resource) => Val::Resource(own(store, *resource)?),
        Type::Bool => Val::Bool(false),
        Type::S8 => Val::S8(0),
        Type::U8 => Val::U8(0),
        Type::S16 => Val::S16(0),
        Type::U16 => Val::U16(0),
        Type::S32 => Val::S32(0),
        Type::U32 => Val::U32(0),
        Type::S64 => Val::S64(0),
        Type::U64 => Val::U64(0),
        Type::Float32 => Val::Float32(0.0),
        Type::Float64 => Val::Float64(0.0),
        Type::Char => Val::Char('\0'),
        Type::String => Val::String(String::new()),
        Type::Borrow(_)
        | Type::Future(_)
        | Type::Stream(_)
        | Type::ErrorContext
        | Type::FixedLengthList(_) => return Err(wasmtime::Error::msg("the network is not permitted")),
    })
}

/// The best error among named cases, else the first.
fn pick<T>(mut cases: Vec<T>, name: impl Fn(&T) -> &String) -> wasmtime::Result<T> {
    let best = DENIALS.iter().find_map(|denial| cases.iter().position(|case| name(case) == denial));
    if cases.is_empty() {
        return Err(wasmtime::Error::msg("a type without values"));
    }
    Ok(cases.swap_remove(best.unwrap_or(0)))
}

fn own(store: &mut StoreContextMut<'_, Guest>, ty: ResourceType) -> wasmtime::Result<ResourceAny> {
    if ty == ResourceType::host::<Denied>() {
        return ResourceAny::try_from_resource(Resource::<Denied>::new_own(0), &mut *store);
    }
    if ty == ResourceType::host::<DynPollable>() {
        let pollable: Resource<DynPollable> = store.data_mut().keep(Entry::Wait(Wait::Ready))?;
        return ResourceAny::try_from_resource(pollable, &mut *store);
    }
    Err(wasmtime::Error::msg("the network is not permitted"))
}
