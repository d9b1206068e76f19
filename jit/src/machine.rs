//! Machine versions: what instruction set, weights, limits and memory layout a version number fixes.

/// One version of the machine. Everything that decides validity, gas or results, in one table.
#[derive(Debug)]
pub struct Machine {
    /// The version's number, as in the chain spec.
    pub version: u16,
}

/// The machine with that version number, if this build knows it.
#[must_use]
pub fn machine(version: u16) -> Option<&'static Machine> {
    static V1: Machine = Machine { version: 1 };
    (version == 1).then_some(&V1)
}
