//! A count for each priority class: tasks held, slots reserved, slots taken. Plain arithmetic.

use core::iter::Sum;
use core::ops::{AddAssign, SubAssign};

use crate::message::Class;

const CLASSES: [Class; 4] = Class::ALL;

/// One number a class.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PerClass<T = u32>([T; CLASSES.len()]);

impl<T: Copy + AddAssign + SubAssign + Sum> PerClass<T> {
    pub(super) fn add(&mut self, class: Class, count: T) {
        if let Some(number) = self.of(class) {
            *number += count;
        }
    }

    pub(super) fn sub(&mut self, class: Class, count: T) {
        if let Some(number) = self.of(class) {
            *number -= count;
        }
    }

    /// Of this class and those above it together.
    pub(super) fn at_least(&self, class: Class) -> T {
        self.0.iter().zip(CLASSES).filter(|(_, of)| *of >= class).map(|(count, _)| *count).sum()
    }

    /// Of all classes together.
    pub(super) fn total(&self) -> T {
        self.0.iter().copied().sum()
    }

    /// Of the classes below this one together.
    pub(super) fn below(&self, class: Class) -> T {
        self.0.iter().zip(CLASSES).filter(|(_, of)| *of < class).map(|(count, _)| *count).sum()
    }

    fn of(&mut self, class: Class) -> Option<&mut T> {
        self.0.iter_mut().zip(CLASSES).find(|(_, of)| *of == class).map(|(count, _)| count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_counted_apart_and_summed_by_rank() {
        let mut counts: PerClass = PerClass::default();
        for (class, count) in CLASSES.into_iter().zip([1, 10, 100, 1000]) {
            counts.add(class, count);
        }
        counts.sub(Class::Interactive, 50);
        assert_eq!((counts.below(Class::Scavenger), counts.at_least(Class::Scavenger)), (0, 1061));
        assert_eq!((counts.below(Class::Interactive), counts.at_least(Class::Interactive)), (11, 1050));
    }
}
