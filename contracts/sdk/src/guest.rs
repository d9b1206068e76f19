//! The host calls as `ecall`s: the only place where a contract leaves the machine.
//!
//! Numbers in `a7`, arguments in `a0` to `a3`, results in `a0` and `a1`; no other register changes. Every `asm!`
//! block may read and write memory, so the compiler keeps slices and buffers in step with what the host sees.

use core::arch::asm;
use core::mem::MaybeUninit;

use crate::Address;
use crate::host::{BlockContext, CallError, Status};

/// `a0` of a `storage_get` that found nothing.
const ABSENT: u64 = u64::MAX;

/// Numbers of the host calls.
mod number {
    pub const INPUT_LEN: u64 = 0x100;
    pub const INPUT_READ: u64 = 0x101;
    pub const RETURN: u64 = 0x102;
    pub const REVERT: u64 = 0x103;
    pub const CALL_KIND: u64 = 0x104;
    pub const STORAGE_GET: u64 = 0x110;
    pub const STORAGE_SET: u64 = 0x111;
    pub const STORAGE_REMOVE: u64 = 0x112;
    pub const TRANSIENT_GET: u64 = 0x113;
    pub const TRANSIENT_SET: u64 = 0x114;
    pub const TRANSIENT_REMOVE: u64 = 0x115;
    pub const COUNTER_ADD: u64 = 0x116;
    pub const LOG: u64 = 0x120;
    pub const CALLER: u64 = 0x130;
    pub const SELF_ADDRESS: u64 = 0x131;
    pub const ORIGIN: u64 = 0x132;
    pub const VALUE: u64 = 0x133;
    pub const BLOCK_CONTEXT: u64 = 0x134;
    pub const GAS_LEFT: u64 = 0x135;
    pub const BALANCE: u64 = 0x140;
    pub const TRANSFER: u64 = 0x141;
    pub const CALL: u64 = 0x142;
    pub const CREATE: u64 = 0x143;
    pub const RETURN_DATA: u64 = 0x144;
    pub const HEAP_GROW: u64 = 0x150;
    pub const BLAKE3: u64 = 0x160;
    pub const SHA256: u64 = 0x161;
    pub const KECCAK256: u64 = 0x162;
    pub const ED25519_VERIFY: u64 = 0x163;
}

macro_rules! ecall {
    ($name:ident $(, $argument:ident $register:tt)*) => {
        /// One `ecall`.
        ///
        /// # Safety
        /// Every range that call `number` reads must be readable, and every range that it writes must be
        /// writable and not be read or written otherwise meanwhile.
        #[inline(always)]
        unsafe fn $name(number: u64 $(, $argument: u64)*) -> (u64, u64) {
            let (a0, a1);
            // SAFETY: the caller answers for the ranges; the host changes a0, a1 and memory only.
            unsafe {
                asm!(
                    "ecall",
                    in("a7") number,
                    $(in($register) $argument,)*
                    lateout("a0") a0,
                    lateout("a1") a1,
                    options(nostack),
                );
            }
            (a0, a1)
        }
    };
}

ecall!(ecall0);
ecall!(ecall1, argument0 "a0");
ecall!(ecall2, argument0 "a0", argument1 "a1");
ecall!(ecall3, argument0 "a0", argument1 "a1", argument2 "a2");
ecall!(ecall4, argument0 "a0", argument1 "a1", argument2 "a2", argument3 "a3");

/// An `ecall` that ends the frame.
fn end(number: u64, output: &[u8]) -> ! {
    // SAFETY: the host reads `output` and does not come back.
    unsafe {
        asm!(
            "ecall",
            in("a7") number,
            in("a0") address(output),
            in("a1") output.len(),
            options(nostack, noreturn),
        );
    }
}

/// The address of `bytes`, known to the host from now on.
fn address<T>(bytes: &[T]) -> u64 {
    bytes.as_ptr().expose_provenance() as u64
}

/// The address of `bytes`, for the host to write to.
fn address_mut<T>(bytes: &mut [T]) -> u64 {
    bytes.as_mut_ptr().expose_provenance() as u64
}

/// What a call without arguments answers.
fn ask(number: u64) -> u64 {
    // SAFETY: calls without arguments touch no memory.
    unsafe { ecall0(number) }.0
}

/// What a call writes to its one argument, `N` bytes.
///
/// # Safety
/// Call `number` writes at most `N` bytes to its only argument and reads nothing.
unsafe fn fetch<const N: usize>(number: u64) -> [u8; N] {
    let mut bytes = [0; N];
    // SAFETY: by the caller's word the call writes inside `bytes`.
    unsafe { ecall1(number, address_mut(&mut bytes)) };
    bytes
}

pub fn input_len() -> usize {
    ask(number::INPUT_LEN) as usize
}

pub fn input_read(destination: &mut [MaybeUninit<u8>], offset: usize) -> usize {
    // SAFETY: the host writes at most `destination.len()` bytes to it.
    unsafe {
        ecall3(
            number::INPUT_READ,
            address_mut(destination),
            offset as u64,
            destination.len() as u64,
        )
        .0 as usize
    }
}

pub fn finish(output: &[u8]) -> ! {
    end(number::RETURN, output)
}

pub fn revert(output: &[u8]) -> ! {
    end(number::REVERT, output)
}

pub fn is_initialising() -> bool {
    ask(number::CALL_KIND) == 1
}

fn get(number: u64, key: &[u8], destination: &mut [u8]) -> Option<usize> {
    let capacity = destination.len() as u64;
    // SAFETY: the host reads `key` and writes at most `capacity` bytes to `destination`.
    let (length, _) = unsafe {
        ecall4(
            number,
            address(key),
            key.len() as u64,
            address_mut(destination),
            capacity,
        )
    };
    if length == ABSENT {
        None
    } else {
        Some(length as usize)
    }
}

fn set(number: u64, key: &[u8], value: &[u8]) {
    // SAFETY: the host reads `key` and `value`.
    unsafe {
        ecall4(
            number,
            address(key),
            key.len() as u64,
            address(value),
            value.len() as u64,
        )
    };
}

fn remove(number: u64, key: &[u8]) {
    // SAFETY: the host reads `key`.
    unsafe { ecall2(number, address(key), key.len() as u64) };
}

pub fn storage_get(key: &[u8], destination: &mut [u8]) -> Option<usize> {
    get(number::STORAGE_GET, key, destination)
}

pub fn storage_set(key: &[u8], value: &[u8]) {
    set(number::STORAGE_SET, key, value);
}

pub fn storage_remove(key: &[u8]) {
    remove(number::STORAGE_REMOVE, key);
}

pub fn counter_add(key: &[u8], amount: u128) {
    let amount = amount.to_le_bytes();
    // SAFETY: the host reads `key` and the 16 bytes of `amount`.
    unsafe {
        ecall3(
            number::COUNTER_ADD,
            address(key),
            key.len() as u64,
            address(&amount),
        )
    };
}

pub fn transient_get(key: &[u8], destination: &mut [u8]) -> Option<usize> {
    get(number::TRANSIENT_GET, key, destination)
}

pub fn transient_set(key: &[u8], value: &[u8]) {
    set(number::TRANSIENT_SET, key, value);
}

pub fn transient_remove(key: &[u8]) {
    remove(number::TRANSIENT_REMOVE, key);
}

pub fn log(topics: &[[u8; 32]], data: &[u8]) {
    // SAFETY: the host reads 32 bytes for each topic, and `data`.
    unsafe {
        ecall4(
            number::LOG,
            address(topics),
            topics.len() as u64,
            address(data),
            data.len() as u64,
        )
    };
}

pub fn caller() -> Address {
    // SAFETY: the call writes 32 bytes.
    Address(unsafe { fetch(number::CALLER) })
}

pub fn self_address() -> Address {
    // SAFETY: the call writes 32 bytes.
    Address(unsafe { fetch(number::SELF_ADDRESS) })
}

pub fn origin() -> Address {
    // SAFETY: the call writes 32 bytes.
    Address(unsafe { fetch(number::ORIGIN) })
}

pub fn value() -> u128 {
    // SAFETY: the call writes 16 bytes.
    u128::from_le_bytes(unsafe { fetch(number::VALUE) })
}

pub fn block_context() -> BlockContext {
    // SAFETY: the call writes 64 bytes.
    let bytes: [u8; 64] = unsafe { fetch(number::BLOCK_CONTEXT) };
    let word = |index: usize| {
        let mut word = [0; 8];
        word.copy_from_slice(&bytes[8 * index..8 * index + 8]);
        u64::from_le_bytes(word)
    };
    let mut proposer = [0; 32];
    proposer.copy_from_slice(&bytes[32..]);
    BlockContext {
        height: word(0),
        timestamp_ms: word(1),
        chain_id: word(2),
        gas_limit: word(3),
        proposer: Address(proposer),
    }
}

pub fn gas_left() -> u64 {
    ask(number::GAS_LEFT)
}

pub fn balance(of: &Address) -> u128 {
    let mut amount = [0; 16];
    // SAFETY: the host reads 32 bytes of the address and writes the 16 of `amount`.
    unsafe { ecall2(number::BALANCE, address(&of.0), address_mut(&mut amount)) };
    u128::from_le_bytes(amount)
}

pub fn transfer(to: &Address, value: u128) -> Result<(), Status> {
    let value = value.to_le_bytes();
    // SAFETY: the host reads 32 bytes of the address and the 16 of `value`.
    check(unsafe { ecall2(number::TRANSFER, address(&to.0), address(&value)) }.0)
}

/// The `call` request, byte for byte.
#[repr(C)]
struct CallRequest {
    to: [u8; 32],
    value: [u8; 16],
    gas: u64,
    input: u64,
    input_length: u64,
    reserved: u64,
}

/// The `create` request, byte for byte.
#[repr(C)]
struct CreateRequest {
    value: [u8; 16],
    gas: u64,
    code: u64,
    code_length: u64,
    input: u64,
    input_length: u64,
    reserved: u64,
}

const _: () = assert!(size_of::<CallRequest>() == 80 && size_of::<CreateRequest>() == 64);

/// What the host's `code` stands for: `Ok` for 0.
fn check(code: u64) -> Result<(), Status> {
    Err(match code {
        0 => return Ok(()),
        1 => Status::Reverted,
        2 => Status::Trapped,
        3 => Status::InsufficientBalance,
        4 => Status::TooDeep,
        5 => Status::NoCode,
        6 => Status::InvalidProgram,
        7 => Status::AddressCollision,
        _ => panic!("unknown status from the host"),
    })
}

fn outcome((status, return_bytes): (u64, u64)) -> Result<usize, CallError> {
    let return_bytes = return_bytes as usize;
    check(status)
        .map(|()| return_bytes)
        .map_err(|status| CallError { status, return_bytes })
}

pub fn call(to: &Address, value: u128, gas: u64, input: &[u8]) -> Result<usize, CallError> {
    let request = CallRequest {
        to: to.0,
        value: value.to_le_bytes(),
        gas,
        input: address(input),
        input_length: input.len() as u64,
        reserved: 0,
    };
    // SAFETY: the host reads the 80 bytes of the request and the input that it names.
    outcome(unsafe { ecall1(number::CALL, (&raw const request).expose_provenance() as u64) })
}

pub fn create(code: &[u8], value: u128, gas: u64, input: &[u8]) -> Result<Address, CallError> {
    let request = CreateRequest {
        value: value.to_le_bytes(),
        gas,
        code: address(code),
        code_length: code.len() as u64,
        input: address(input),
        input_length: input.len() as u64,
        reserved: 0,
    };
    let mut created = [0; 32];
    // SAFETY: the host reads the 64 bytes of the request with the code and the input that it names, and writes the
    // 32 of `created`.
    let end = unsafe {
        ecall2(
            number::CREATE,
            (&raw const request).expose_provenance() as u64,
            address_mut(&mut created),
        )
    };
    outcome(end).map(|_| Address(created))
}

pub fn return_data_read(destination: &mut [u8], offset: usize) -> usize {
    // SAFETY: the host writes at most `destination.len()` bytes to it.
    unsafe {
        ecall3(
            number::RETURN_DATA,
            address_mut(destination),
            offset as u64,
            destination.len() as u64,
        )
        .0 as usize
    }
}

/// Grows the heap by `pages`: its old end, or `None` when the maximum is passed.
pub fn heap_grow(pages: usize) -> Option<usize> {
    // SAFETY: the call touches no memory that was mapped before.
    let (old_end, _) = unsafe { ecall1(number::HEAP_GROW, pages as u64) };
    if old_end == u64::MAX {
        None
    } else {
        Some(old_end as usize)
    }
}

fn hash(number: u64, bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    // SAFETY: the host reads `bytes` and writes the 32 of `hash`.
    unsafe { ecall3(number, address(bytes), bytes.len() as u64, address_mut(&mut hash)) };
    hash
}

pub fn blake3(bytes: &[u8]) -> [u8; 32] {
    hash(number::BLAKE3, bytes)
}

pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    hash(number::SHA256, bytes)
}

pub fn keccak256(bytes: &[u8]) -> [u8; 32] {
    hash(number::KECCAK256, bytes)
}

pub fn ed25519_verify(public_key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    // SAFETY: the host reads 32 bytes of the key, `message`, and 64 bytes of the signature.
    let (valid, _) = unsafe {
        ecall4(
            number::ED25519_VERIFY,
            address(public_key),
            address(message),
            message.len() as u64,
            address(signature),
        )
    };
    valid == 1
}
