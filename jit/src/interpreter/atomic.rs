//! LR, SC and AMOs. On a single hart they are a load, a store, or both.

use super::Reservation;
use crate::isa::Op;
use crate::runtime::{AddressSpace, TrapKind};

/// Runs an atomic at `address` with the second source `b`; gives what goes to rd.
pub(super) fn atomic(
    op: Op,
    address: u64,
    b: u64,
    memory: &mut AddressSpace<'_>,
    reservation: &mut Reservation,
) -> Result<u64, TrapKind> {
    match op {
        Op::LrW => load_reserved::<4>(address, memory, reservation).map(word),
        Op::LrD => load_reserved::<8>(address, memory, reservation).map(u64::from_le_bytes),
        Op::ScW => store_conditional(address, (b as u32).to_le_bytes(), memory, reservation),
        Op::ScD => store_conditional(address, b.to_le_bytes(), memory, reservation),
        Op::AmoswapD
        | Op::AmoaddD
        | Op::AmoxorD
        | Op::AmoandD
        | Op::AmoorD
        | Op::AmominD
        | Op::AmomaxD
        | Op::AmominuD
        | Op::AmomaxuD => {
            let update = |old| combine(op, u64::from_le_bytes(old), b).to_le_bytes();
            modify(address, memory, update).map(u64::from_le_bytes)
        }
        _ => {
            // Comparing sign-extended words orders them like 32-bit values, signed and unsigned alike.
            let b = word((b as u32).to_le_bytes());
            let update = |old| (combine(op, word(old), b) as u32).to_le_bytes();
            modify(address, memory, update).map(word)
        }
    }
}

fn load_reserved<const N: usize>(
    address: u64,
    memory: &AddressSpace<'_>,
    reservation: &mut Reservation,
) -> Result<[u8; N], TrapKind> {
    check_alignment::<N>(address)?;
    let value = memory.load(address).ok_or(fault::<N>(address, false))?;
    *reservation = Reservation::new(address, N as u64);
    Ok(value)
}

fn store_conditional<const N: usize>(
    address: u64,
    value: [u8; N],
    memory: &mut AddressSpace<'_>,
    reservation: &mut Reservation,
) -> Result<u64, TrapKind> {
    check_alignment::<N>(address)?;
    if std::mem::replace(reservation, Reservation::NONE) != Reservation::new(address, N as u64) {
        return Ok(1);
    }
    memory.store(address, value).ok_or(fault::<N>(address, true))?;
    Ok(0)
}

/// Replaces the value at `address` and gives the old one. Needs a page that is writable, and so readable.
fn modify<const N: usize>(
    address: u64,
    memory: &mut AddressSpace<'_>,
    update: impl FnOnce([u8; N]) -> [u8; N],
) -> Result<[u8; N], TrapKind> {
    check_alignment::<N>(address)?;
    let old = memory.load(address).ok_or(fault::<N>(address, true))?;
    memory
        .store(address, update(old))
        .ok_or(fault::<N>(address, true))?;
    Ok(old)
}

/// What an AMO stores, given what it found and its operand.
fn combine(op: Op, old: u64, b: u64) -> u64 {
    match op {
        Op::AmoswapW | Op::AmoswapD => b,
        Op::AmoaddW | Op::AmoaddD => old.wrapping_add(b),
        Op::AmoxorW | Op::AmoxorD => old ^ b,
        Op::AmoandW | Op::AmoandD => old & b,
        Op::AmoorW | Op::AmoorD => old | b,
        Op::AmominW | Op::AmominD => old.cast_signed().min(b.cast_signed()).cast_unsigned(),
        Op::AmomaxW | Op::AmomaxD => old.cast_signed().max(b.cast_signed()).cast_unsigned(),
        Op::AmominuW | Op::AmominuD => old.min(b),
        Op::AmomaxuW | Op::AmomaxuD => old.max(b),
        _ => unreachable!("called for AMOs only"),
    }
}

/// A 32-bit value, sign-extended.
fn word(bytes: [u8; 4]) -> u64 {
    i64::from(i32::from_le_bytes(bytes)).cast_unsigned()
}

fn check_alignment<const N: usize>(address: u64) -> Result<(), TrapKind> {
    if address.is_multiple_of(N as u64) {
        Ok(())
    } else {
        Err(TrapKind::Misaligned { address })
    }
}

fn fault<const N: usize>(address: u64, write: bool) -> TrapKind {
    TrapKind::AccessFault {
        address,
        len: N as u64,
        write,
    }
}
