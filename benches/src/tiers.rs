//! The tiers that are measured and tested.

use millrace_jit::Tier;

/// A tier, and the most rounds that a bench gives it: a slow one gains nothing from many.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// In the table and on the command line.
    pub name: &'static str,
    /// Which.
    pub tier: Tier,
    /// At most so many rounds.
    pub most_rounds: usize,
}

const fn column(name: &'static str, tier: Tier, most_rounds: usize) -> Column {
    Column {
        name,
        tier,
        most_rounds,
    }
}

/// Every tier, one line each.
pub const ALL: &[Column] = &[
    column("jit", Tier::Jit, 20),
    column("auto", Tier::Auto, 20),
    column("interpreter", Tier::Interpreter, 2),
];
