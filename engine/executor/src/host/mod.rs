//! Host calls: what an `ecall` of a contract means. `docs/spec/host-calls.md` is the specification.
//!
//! Every call goes through the same steps: its base price is charged; its arguments are read and its ranges checked;
//! what grows with lengths and with cold accesses is charged; then it acts. Each failure before that is a trap and takes
//! the frame's whole gas, so the order of these steps cannot be observed, only that nothing acts unpaid.

mod calls;
mod context;
mod hashes;
mod storage;

use millrace_jit::{Ecall, Flow, Host, TrapKind};
use millrace_types::{Address, Amount};

use crate::error::ExecutionError;
use crate::frame::Frame;
use crate::gas::{GasSchedule, Price, per_word};
use crate::trace::HostEvent;

/// Numbers of host calls, as `a7` carries them.
pub mod number {
    /// Bytes of the frame's input.
    pub const INPUT_LEN: u64 = 0x100;
    /// Copies input.
    pub const INPUT_READ: u64 = 0x101;
    /// Ends the frame with success.
    pub const RETURN: u64 = 0x102;
    /// Ends the frame and undoes it.
    pub const REVERT: u64 = 0x103;
    /// 1 when the frame initialises a new contract.
    pub const CALL_KIND: u64 = 0x104;
    /// Reads a storage slot.
    pub const STORAGE_GET: u64 = 0x110;
    /// Writes a storage slot.
    pub const STORAGE_SET: u64 = 0x111;
    /// Removes a storage slot.
    pub const STORAGE_REMOVE: u64 = 0x112;
    /// Reads a transient slot.
    pub const TRANSIENT_GET: u64 = 0x113;
    /// Writes a transient slot.
    pub const TRANSIENT_SET: u64 = 0x114;
    /// Removes a transient slot.
    pub const TRANSIENT_REMOVE: u64 = 0x115;
    /// Adds to a counter in a storage slot.
    pub const COUNTER_ADD: u64 = 0x116;
    /// Emits a log.
    pub const LOG: u64 = 0x120;
    /// The calling account.
    pub const CALLER: u64 = 0x130;
    /// The running contract.
    pub const SELF_ADDRESS: u64 = 0x131;
    /// The transaction's sender.
    pub const ORIGIN: u64 = 0x132;
    /// Value that came with the call.
    pub const VALUE: u64 = 0x133;
    /// The block.
    pub const BLOCK_CONTEXT: u64 = 0x134;
    /// Gas left.
    pub const GAS_LEFT: u64 = 0x135;
    /// An account's balance.
    pub const BALANCE: u64 = 0x140;
    /// Moves value, runs no code.
    pub const TRANSFER: u64 = 0x141;
    /// Runs a contract.
    pub const CALL: u64 = 0x142;
    /// Creates a contract.
    pub const CREATE: u64 = 0x143;
    /// Copies return data of the newest call or create.
    pub const RETURN_DATA: u64 = 0x144;
    /// Grows the heap.
    pub const HEAP_GROW: u64 = 0x150;
    /// BLAKE3.
    pub const BLAKE3: u64 = 0x160;
    /// SHA-256.
    pub const SHA256: u64 = 0x161;
    /// Keccak-256.
    pub const KECCAK256: u64 = 0x162;
    /// Ed25519 by ZIP-215.
    pub const ED25519_VERIFY: u64 = 0x163;
}

/// Statuses of `transfer`, `call` and `create`.
pub mod status {
    /// It happened.
    pub const SUCCESS: u64 = 0;
    /// The callee reverted.
    pub const REVERTED: u64 = 1;
    /// The callee trapped.
    pub const TRAPPED: u64 = 2;
    /// The balance does not cover the value.
    pub const INSUFFICIENT_BALANCE: u64 = 3;
    /// The frame would pass `call_depth`.
    pub const CALL_DEPTH: u64 = 4;
    /// No code at the address.
    pub const NO_CODE: u64 = 5;
    /// The code is no valid program.
    pub const INVALID_PROGRAM: u64 = 6;
    /// The address has code already.
    pub const ADDRESS_COLLISION: u64 = 7;
}

/// What `storage_get`, `transient_get` and `heap_grow` answer for "there is none".
pub const NONE: u64 = u64::MAX;

/// A step of a host call: an error ends the call with that flow.
type Step<T = ()> = Result<T, Flow>;

impl Host for Frame<'_, '_> {
    fn ecall(&mut self, call: &mut Ecall<'_>) -> Flow {
        match self.dispatch(call) {
            Ok(()) => Flow::Continue,
            Err(flow) => flow,
        }
    }
}

impl Frame<'_, '_> {
    fn dispatch(&mut self, call: &mut Ecall<'_>) -> Step {
        match call.number {
            number::INPUT_LEN => self.input_len(call),
            number::INPUT_READ => self.input_read(call),
            number::RETURN => self.end(call, Flow::Return),
            number::REVERT => self.end(call, Flow::Revert),
            number::CALL_KIND => self.call_kind(call),
            number::STORAGE_GET => self.storage_get(call),
            number::STORAGE_SET => self.storage_set(call),
            number::STORAGE_REMOVE => self.storage_remove(call),
            number::TRANSIENT_GET => self.transient_get(call),
            number::TRANSIENT_SET => self.transient_set(call),
            number::TRANSIENT_REMOVE => self.transient_remove(call),
            number::COUNTER_ADD if self.schedule().has_counters => self.counter_add(call),
            number::LOG => self.log(call),
            number::CALLER => self.put_context(call, self.caller.0),
            number::SELF_ADDRESS => self.put_context(call, self.contract.0),
            number::ORIGIN => self.put_context(call, self.execution.origin.0),
            number::VALUE => self.put_context(call, self.value.to_le_bytes()),
            number::BLOCK_CONTEXT => self.block_context(call),
            number::GAS_LEFT => self.gas_left(call),
            number::BALANCE => self.balance(call),
            number::TRANSFER => self.transfer(call),
            number::CALL => self.call(call),
            number::CREATE => self.create(call),
            number::RETURN_DATA => self.return_data(call),
            number::HEAP_GROW => self.heap_grow(call),
            number::BLAKE3 => self.blake3(call),
            number::SHA256 => self.sha256(call),
            number::KECCAK256 => self.keccak256(call),
            number::ED25519_VERIFY => self.ed25519_verify(call),
            _ => Err(Flow::Trap(TrapKind::Host("unknown host call"))),
        }
    }

    fn schedule(&self) -> &'static GasSchedule {
        self.execution.rules.schedule
    }

    /// Tells the tracer what this host call did, if there is one.
    #[inline]
    fn tell<'t>(
        &self,
        call: &'t Ecall<'_>,
        event: impl FnOnce(&'t Ecall<'_>) -> Step<HostEvent<'t>>,
    ) -> Step {
        if let Some(tracer) = self.execution.rules.tracer {
            tracer.host_call(&event(call)?, call.charged());
        }
        Ok(())
    }

    /// Gives up the execution because of `error`.
    fn or_abandon<T>(&mut self, result: Result<T, ExecutionError>) -> Step<T> {
        result.map_err(|error| self.execution.abandon(error))
    }

    /// Counts and charges an access to an account, beside the warm price that every access pays in its base.
    fn access_account(&mut self, call: &mut Ecall<'_>, address: &Address) -> Step {
        let cold = self.execution.journal.warm_account(address);
        self.charge_access(call, cold)
    }

    fn charge_access(&mut self, call: &mut Ecall<'_>, cold: bool) -> Step {
        let schedule = self.schedule();
        if cold {
            self.execution.count_entry()?;
            call.charge(schedule.cold_access)
        } else {
            call.charge(schedule.warm_access)
        }
    }
}

/// Charges the part of `price` that grows with `len`.
fn charge_words(call: &mut Ecall<'_>, price: Price, len: u64) -> Step {
    call.charge(per_word(price.word, len))
}

/// Borrows a range of the guest's memory.
fn read<'m>(call: &'m Ecall<'_>, pointer: u64, len: u64) -> Step<&'m [u8]> {
    call.memory.read(pointer, len).map_err(Flow::Trap)
}

/// Checks a range that is read once it is paid for.
fn check_readable(call: &Ecall<'_>, pointer: u64, len: u64) -> Step {
    read(call, pointer, len).map(|_| ())
}

/// Checks a range that is written once it is paid for.
fn check_writable(call: &Ecall<'_>, pointer: u64, len: u64) -> Step {
    call.memory.check_writable(pointer, len).map_err(Flow::Trap)
}

/// Writes to the guest's memory.
fn write(call: &mut Ecall<'_>, pointer: u64, bytes: &[u8]) -> Step {
    call.memory.write(pointer, bytes).map_err(Flow::Trap)
}

/// Reads an array of fixed length.
fn read_array<const N: usize>(call: &Ecall<'_>, pointer: u64) -> Step<[u8; N]> {
    let bytes = read(call, pointer, N as u64)?;
    Ok(bytes
        .try_into()
        .expect("the memory lends as many bytes as asked for"))
}

/// Reads an address.
fn read_address(call: &Ecall<'_>, pointer: u64) -> Step<Address> {
    read_array(call, pointer).map(Address)
}

/// Reads an amount.
fn read_amount(call: &Ecall<'_>, pointer: u64) -> Step<Amount> {
    read_array(call, pointer).map(Amount::from_le_bytes)
}

/// Copies what `source` holds from `offset` on, at most `len` bytes, to `dst`, and answers how many bytes that were.
fn copy_out(call: &mut Ecall<'_>, source: &[u8], dst: u64, offset: u64, len: u64) -> Step {
    let start = usize::try_from(offset).unwrap_or(usize::MAX).min(source.len());
    let count = usize::try_from(len)
        .unwrap_or(usize::MAX)
        .min(source.len() - start);
    write(call, dst, &source[start..start + count])?;
    call.results[0] = count as u64;
    Ok(())
}
