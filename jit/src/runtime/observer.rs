//! Somebody who watches a run: for traces, which show how control went and what it cost.

use super::outcome::Outcome;

/// What a jump does to the stack of calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JumpKind {
    /// It keeps the address behind it in a link register.
    Call {
        /// That address.
        returns_to: u64,
    },
    /// It goes where a link register says.
    Return,
    /// Any other: a branch, a loop, or a call that needs no return.
    Within,
}

/// A jump that was taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Jump {
    /// Where it stands.
    pub from: u64,
    /// Where it leads.
    pub to: u64,
    /// What it was.
    pub kind: JumpKind,
    /// Gas left behind it, exact.
    pub gas_left: u64,
}

/// Told of every jump that is taken, in order.
pub trait Observer {
    /// One jump.
    fn jumped(&self, jump: Jump);
}

/// What a run that was observed came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Observed {
    /// As of any other run.
    pub outcome: Outcome,
    /// Guest address of the instruction that ended it: an `ecall`, or the one that trapped.
    pub pc: u64,
    /// Gas left then, which a trap takes all the same. Of the straight line in which a trap lies all is paid for, and nothing
    /// where the gas did not suffice for all.
    pub gas_left: u64,
}
