//! The host calls of the host in memory; [`crate::host`] documents them.

use std::mem::MaybeUninit;
use std::panic::resume_unwind;

use sha2::Digest as _;

use super::world::{End, FrameEnd, Log, Receiver, World, run, with_world};
use crate::Address;
use crate::host::{BlockContext, CallError, Status};

pub fn input_len() -> usize {
    with_world(|world| world.frame().input.len())
}

pub fn input_read(destination: &mut [MaybeUninit<u8>], offset: usize) -> usize {
    with_world(|world| {
        let rest = world.frame().input.get(offset..).unwrap_or_default();
        let count = rest.len().min(destination.len());
        destination[..count].write_copy_of_slice(&rest[..count]);
        count
    })
}

pub fn finish(output: &[u8]) -> ! {
    resume_unwind(Box::new(FrameEnd::Return(output.to_vec())))
}

pub fn revert(output: &[u8]) -> ! {
    resume_unwind(Box::new(FrameEnd::Revert(output.to_vec())))
}

pub fn is_initialising() -> bool {
    with_world(|world| world.frame().initialising)
}

/// A key of the contract that runs.
fn own(world: &mut World, key: &[u8]) -> (Address, Vec<u8>) {
    (world.frame().address, key.to_vec())
}

fn copy(value: Option<&Vec<u8>>, destination: &mut [u8]) -> Option<usize> {
    let value = value?;
    let count = value.len().min(destination.len());
    destination[..count].copy_from_slice(&value[..count]);
    Some(value.len())
}

pub fn storage_get(key: &[u8], destination: &mut [u8]) -> Option<usize> {
    with_world(|world| {
        let key = own(world, key);
        copy(world.state.storage.get(&key), destination)
    })
}

pub fn storage_set(key: &[u8], value: &[u8]) {
    with_world(|world| {
        let key = own(world, key);
        world.state.storage.insert(key, value.to_vec());
    });
}

pub fn storage_remove(key: &[u8]) {
    with_world(|world| {
        let key = own(world, key);
        world.state.storage.remove(&key);
    });
}

pub fn counter_add(key: &[u8], amount: u128) {
    with_world(|world| {
        let key = own(world, key);
        let before = world.state.storage.get(&key).map_or(&[0; 16][..], Vec::as_slice);
        let before = u128::from_le_bytes(before.try_into().expect("a counter has 16 bytes"));
        let sum = before.checked_add(amount).expect("a counter stays below 2^128");
        world.state.storage.insert(key, sum.to_le_bytes().to_vec());
    });
}

pub fn transient_get(key: &[u8], destination: &mut [u8]) -> Option<usize> {
    with_world(|world| {
        let key = own(world, key);
        copy(world.state.transient.get(&key), destination)
    })
}

pub fn transient_set(key: &[u8], value: &[u8]) {
    with_world(|world| {
        let key = own(world, key);
        world.state.transient.insert(key, value.to_vec());
    });
}

pub fn transient_remove(key: &[u8]) {
    with_world(|world| {
        let key = own(world, key);
        world.state.transient.remove(&key);
    });
}

pub fn log(topics: &[[u8; 32]], data: &[u8]) {
    with_world(|world| {
        let contract = world.frame().address;
        world.state.logs.push(Log {
            contract,
            topics: topics.to_vec(),
            data: data.to_vec(),
        });
    });
}

pub fn caller() -> Address {
    with_world(|world| world.frame().caller)
}

pub fn self_address() -> Address {
    with_world(|world| world.frame().address)
}

pub fn origin() -> Address {
    with_world(|world| world.origin)
}

pub fn value() -> u128 {
    with_world(|world| world.frame().value)
}

pub fn block_context() -> BlockContext {
    with_world(|world| world.block)
}

pub fn gas_left() -> u64 {
    with_world(|world| world.frame().gas)
}

pub fn balance(address: &Address) -> u128 {
    with_world(|world| world.state.balance(address))
}

pub fn transfer(to: &Address, value: u128) -> Result<(), Status> {
    with_world(|world| {
        let from = world.frame().address;
        world.state.transfer(from, *to, value)
    })
}

/// Runs a callee of the frame that runs, and keeps its output as that frame's return data.
fn nested(receiver: Receiver, value: u128, gas: u64, input: &[u8]) -> Result<usize, CallError> {
    let (caller, gas) = with_world(|world| {
        let frame = world.frame();
        frame.return_data.clear();
        (frame.address, gas.min(frame.gas - frame.gas / 64))
    });
    let (status, output) = match run(receiver, caller, value, gas, input.to_vec()) {
        End::Frame(FrameEnd::Return(output)) => (None, output),
        End::Frame(FrameEnd::Revert(output)) => (Some(Status::Reverted), output),
        End::Refused(status) => (Some(status), Vec::new()),
    };
    let return_bytes = output.len();
    with_world(|world| world.frame().return_data = output);
    status.map_or(Ok(return_bytes), |status| Err(CallError { status, return_bytes }))
}

pub fn call(to: &Address, value: u128, gas: u64, input: &[u8]) -> Result<usize, CallError> {
    nested(
        Receiver {
            address: *to,
            program: None,
        },
        value,
        gas,
        input,
    )
}

pub fn create(code: &[u8], value: u128, gas: u64, input: &[u8]) -> Result<Address, CallError> {
    // In the order of their numbers; the creator counts its contracts only after these.
    let (address, program) = with_world(|world| {
        let frame = world.frame();
        frame.return_data.clear();
        let creator = frame.address;
        world.check_caller(&creator, value)?;
        let program = *world.programs.get(code).ok_or(Status::InvalidProgram)?;
        Ok((world.next_address(&creator), program))
    })
    .map_err(|status| CallError {
        status,
        return_bytes: 0,
    })?;
    nested(
        Receiver {
            address,
            program: Some(program),
        },
        value,
        gas,
        input,
    )
    .map(|_| address)
}

pub fn return_data_read(destination: &mut [u8], offset: usize) -> usize {
    with_world(|world| {
        let rest = world.frame().return_data.get(offset..).unwrap_or_default();
        let count = rest.len().min(destination.len());
        destination[..count].copy_from_slice(&rest[..count]);
        count
    })
}

pub fn blake3(bytes: &[u8]) -> [u8; 32] {
    *blake3::hash(bytes).as_bytes()
}

pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    sha2::Sha256::digest(bytes).into()
}

pub fn keccak256(bytes: &[u8]) -> [u8; 32] {
    sha3::Keccak256::digest(bytes).into()
}

pub fn ed25519_verify(public_key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    let Ok(key) = ed25519_zebra::VerificationKey::try_from(*public_key) else {
        return false;
    };
    key.verify(&ed25519_zebra::Signature::from(*signature), message)
        .is_ok()
}
