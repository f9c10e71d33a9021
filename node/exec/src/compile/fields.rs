//! Counts the fields and values for which a compiler emits code although the module names only their type: those of
//! objects that are created with defaults, and of exceptions that are caught. Fed during validation.

use wasmparser::{Catch, CompositeInnerType, Operator, WasmModuleResources};

/// The number of fields of each type of a module, by the type's index; 0 for what is no struct.
#[derive(Default)]
pub(super) struct Fields(Vec<u64>);

impl Fields {
    /// Adds the next type.
    pub(super) fn push(&mut self, ty: &CompositeInnerType) {
        self.0.push(match ty {
            CompositeInnerType::Struct(object) => object.fields.len() as u64,
            CompositeInnerType::Func(_) | CompositeInnerType::Array(_) | CompositeInnerType::Cont(_) => 0,
        });
    }

    /// The fields that this operator sets to their defaults. It need not be valid.
    pub(super) fn set_by(&self, operator: &Operator<'_>) -> u64 {
        let Operator::StructNewDefault { struct_type_index } = operator else { return 0 };
        let index = usize::try_from(*struct_type_index).unwrap_or(usize::MAX);
        self.0.get(index).copied().unwrap_or(0)
    }

    /// The same, and the values that the handlers of this operator take out of exceptions.
    pub(super) fn used_by(&self, operator: &Operator<'_>, module: &impl WasmModuleResources) -> u64 {
        let Operator::TryTable { try_table } = operator else { return self.set_by(operator) };
        let values = |catch: &Catch| match catch {
            Catch::One { tag, .. } | Catch::OneRef { tag, .. } => {
                module.tag_at(*tag).map_or(0, |exception| exception.params().len() as u64)
            }
            Catch::All { .. } | Catch::AllRef { .. } => 0,
        };
        try_table.catches.iter().map(values).sum()
    }
}
