//! Host calls: what an `ecall` hands to the machine's caller, and what comes back.

use super::memory::Memory;
use super::outcome::TrapKind;

/// What a host call sees and may change: a0 to a5, a7, memory and gas; it sets a0 and a1 and nothing else.
#[derive(Debug)]
pub struct Ecall<'a> {
    /// a7.
    pub number: u64,
    /// a0 to a5.
    pub args: [u64; 6],
    /// The guest's memory.
    pub memory: &'a mut Memory,
    /// a0 and a1 after the call; start out as `args[0]` and `args[1]`.
    pub results: [u64; 2],
    gas_left: &'a mut u64,
    /// Gas charged since the host call began and not refunded.
    charged: u64,
}

impl<'a> Ecall<'a> {
    /// A host call with its arguments, over `memory` and the gas that is left. Tiers make them, and tests of hosts.
    #[must_use]
    pub fn new(number: u64, args: [u64; 6], memory: &'a mut Memory, gas_left: &'a mut u64) -> Self {
        Self {
            number,
            args,
            memory,
            results: [args[0], args[1]],
            gas_left,
            charged: 0,
        }
    }

    /// Gas left, exact: everything executed so far, the `ecall` included, has been charged.
    #[must_use]
    pub fn gas_left(&self) -> u64 {
        *self.gas_left
    }

    /// Gas that this host call has charged, less what it gave back.
    #[must_use]
    pub fn charged(&self) -> u64 {
        self.charged
    }

    /// Charges `gas` before the host acts.
    ///
    /// # Errors
    /// [`Flow::Trap`] with out of gas, for the caller to return, when less is left; nothing is charged then.
    pub fn charge(&mut self, gas: u64) -> Result<(), Flow> {
        *self.gas_left = self
            .gas_left
            .checked_sub(gas)
            .ok_or(Flow::Trap(TrapKind::OutOfGas))?;
        self.charged += gas;
        Ok(())
    }

    /// Gives back gas that this host call charged: what a nested call was given and did not use.
    ///
    /// # Panics
    /// If the host call has not charged as much.
    pub fn refund(&mut self, gas: u64) {
        self.charged = self
            .charged
            .checked_sub(gas)
            .expect("a host call gives back at most what it charged");
        *self.gas_left += gas;
    }
}

/// What the machine does after a host call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flow {
    /// Go on behind the `ecall`.
    Continue,
    /// The call ends, effects stand, unused gas is given back.
    Return,
    /// The call ends, effects are undone, unused gas is given back.
    Revert,
    /// The call traps at the `ecall`.
    Trap(TrapKind),
    /// The caller abandons this run (a stale speculative read, a stop); nothing of it counts.
    Abort,
}

/// The meaning of `ecall` is the caller's business.
pub trait Host {
    /// One host call. May run other instances before it returns.
    ///
    /// Results that decide validity have to follow from the arguments, the memory and the host's own state alone: a
    /// run may be repeated, here or on another node, on any tier.
    fn ecall(&mut self, call: &mut Ecall<'_>) -> Flow;
}
