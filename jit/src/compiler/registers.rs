//! Sets of guest registers.

use std::fmt::{self, Debug, Formatter};
use std::ops::{BitAnd, BitOr, BitOrAssign, Not, Sub};

use crate::isa::F0;

/// A set of the registers x1 to x31 and, from [`F0`] on, f0 to f31; x0 is never in one.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Registers(u64);

impl Registers {
    pub(crate) const NONE: Self = Self(0);

    /// The set of these registers.
    pub(crate) const fn of(numbers: &[u8]) -> Self {
        let mut bits = 0;
        let mut i = 0;
        while i < numbers.len() {
            bits |= 1 << numbers[i];
            i += 1;
        }
        Self(bits & !1)
    }

    pub(crate) const fn one(number: u8) -> Self {
        Self((1 << number) & !1)
    }

    pub(crate) const fn contains(self, number: u8) -> bool {
        self.0 >> number & 1 != 0
    }

    /// Bit n for the register with that number.
    pub(crate) const fn bits(self) -> u64 {
        self.0
    }

    /// The set whose bits these are; bit 0 means nothing.
    pub(crate) const fn of_bits(bits: u64) -> Self {
        Self(bits & !1)
    }

    /// Those of integers.
    pub(crate) const fn integers(self) -> Self {
        Self(self.0 & ((1 << F0) - 1))
    }

    /// Register numbers, ascending.
    pub(crate) fn iter(self) -> impl Iterator<Item = u8> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let number = left.trailing_zeros();
            left &= left.wrapping_sub(1);
            (number < u64::BITS).then_some(number as u8)
        })
    }
}

impl Debug for Registers {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl BitOr for Registers {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Registers {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl BitAnd for Registers {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Sub for Registers {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl Not for Registers {
    type Output = Self;
    fn not(self) -> Self {
        Self(!self.0 & !1)
    }
}
