//! Every host call, typed.
//!
//! On the chain each function is one `ecall` (`docs/spec/host-calls.md`), charged before it acts; a frame without
//! the gas for it traps. Everywhere else the same functions act on the host in memory ([`mock`](crate::mock)).

use alloc::vec::Vec;
use core::mem::MaybeUninit;

use crate::{Address, imp};

/// Bytes of a page of memory.
pub const PAGE_BYTES: usize = 4096;

/// A log has at most so many topics.
pub const MAX_TOPICS: usize = 4;

/// The block that the frame runs in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BlockContext {
    /// Distance from genesis.
    pub height: u64,
    /// Milliseconds since the Unix epoch, chosen by the proposer.
    pub timestamp_ms: u64,
    /// The chain.
    pub chain_id: u64,
    /// The block's gas limit.
    pub gas_limit: u64,
    /// Who proposed the block.
    pub proposer: Address,
}

/// Why a transfer, call or create did not succeed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// The callee reverted.
    Reverted,
    /// The callee trapped; the gas it was given is gone.
    Trapped,
    /// This contract's balance does not cover the value.
    InsufficientBalance,
    /// The frame would be deeper than the chain spec's `call_depth`.
    TooDeep,
    /// There is no code at the address.
    NoCode,
    /// The code is no valid program.
    InvalidProgram,
    /// The address has code already.
    AddressCollision,
}

impl Status {
    /// What it means, in a few words.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::Reverted => "it reverted",
            Self::Trapped => "it trapped",
            Self::InsufficientBalance => "the balance does not cover the value",
            Self::TooDeep => "calls nest too deep",
            Self::NoCode => "there is no code at the address",
            Self::InvalidProgram => "the code is no valid program",
            Self::AddressCollision => "the address has code already",
        }
    }
}

/// A call or create that did not succeed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CallError {
    /// Why.
    pub status: Status,
    /// Bytes that the callee reverted with, to be read with [`return_data`]; 0 for every other status.
    pub return_bytes: usize,
}

/// Bytes of the input.
#[must_use]
pub fn input_len() -> usize {
    imp::input_len()
}

/// Copies the input from `offset` on into `destination` and returns how many bytes that were.
pub fn input_read(destination: &mut [u8], offset: usize) -> usize {
    // SAFETY: initialised bytes are a valid `[MaybeUninit<u8>]`, and the callee writes initialised bytes only.
    imp::input_read(
        unsafe { &mut *(destination as *mut [u8] as *mut [MaybeUninit<u8>]) },
        offset,
    )
}

/// Like [`input_read`], into memory that need not be initialised: the bytes counted by the result are, after.
pub fn input_read_uninit(destination: &mut [MaybeUninit<u8>], offset: usize) -> usize {
    imp::input_read(destination, offset)
}

/// Ends the frame: success, with this output.
pub fn finish(output: &[u8]) -> ! {
    imp::finish(output)
}

/// Ends the frame: effects undone, unused gas back, with this output.
pub fn revert(output: &[u8]) -> ! {
    imp::revert(output)
}

/// Whether the frame initialises a new contract.
#[must_use]
pub fn is_initialising() -> bool {
    imp::is_initialising()
}

/// Copies the value stored under `key` into `destination`, as much as fits, and returns the value's whole length;
/// `None` if nothing is stored.
pub fn storage_get(key: &[u8], destination: &mut [u8]) -> Option<usize> {
    imp::storage_get(key, destination)
}

/// Stores `value` under `key`.
pub fn storage_set(key: &[u8], value: &[u8]) {
    imp::storage_set(key, value);
}

/// Removes what is stored under `key`, if anything is.
pub fn storage_remove(key: &[u8]) {
    imp::storage_remove(key);
}

/// Adds to the counter stored under `key`: 16 bytes, little endian; nothing stored counts as 0. Traps if other than 16 bytes
/// are stored, or the sum is 2^128 or more. On chains with gas version 2 or later; before, it traps.
///
/// Transactions that only add to a counter run beside each other; those that read it, or set it, wait for each other.
pub fn counter_add(key: &[u8], amount: u128) {
    imp::counter_add(key, amount);
}

/// [`storage_get`] of transient storage, which lives for one transaction.
pub fn transient_get(key: &[u8], destination: &mut [u8]) -> Option<usize> {
    imp::transient_get(key, destination)
}

/// [`storage_set`] of transient storage.
pub fn transient_set(key: &[u8], value: &[u8]) {
    imp::transient_set(key, value);
}

/// [`storage_remove`] of transient storage.
pub fn transient_remove(key: &[u8]) {
    imp::transient_remove(key);
}

/// Emits an event that light clients can prove.
///
/// # Panics
/// If there are more than [`MAX_TOPICS`] topics.
pub fn log(topics: &[[u8; 32]], data: &[u8]) {
    assert!(topics.len() <= MAX_TOPICS, "a log has at most 4 topics");
    imp::log(topics, data);
}

/// A topic that names an event: its ASCII name, zeros behind it.
///
/// # Panics
/// If `name` is longer than 32 bytes; at compile time in a constant.
#[must_use]
pub const fn topic(name: &str) -> [u8; 32] {
    let name = name.as_bytes();
    assert!(name.len() <= 32, "an event's name has at most 32 bytes");
    let mut topic = [0; 32];
    let mut i = 0;
    while i < name.len() {
        topic[i] = name[i];
        i += 1;
    }
    topic
}

/// The calling account: the transaction's sender, or the calling contract.
#[must_use]
pub fn caller() -> Address {
    imp::caller()
}

/// This contract.
#[must_use]
pub fn self_address() -> Address {
    imp::self_address()
}

/// The transaction's sender.
#[must_use]
pub fn origin() -> Address {
    imp::origin()
}

/// Units of the native token that came with this call.
#[must_use]
pub fn value() -> u128 {
    imp::value()
}

/// The block that the frame runs in.
#[must_use]
pub fn block_context() -> BlockContext {
    imp::block_context()
}

/// Gas left to this frame after this call's price.
#[must_use]
pub fn gas_left() -> u64 {
    imp::gas_left()
}

/// Units of the native token that `address` holds.
#[must_use]
pub fn balance(address: &Address) -> u128 {
    imp::balance(address)
}

/// Moves units of the native token from this contract to `to`. Runs no code there.
///
/// # Errors
/// [`Status::InsufficientBalance`].
pub fn transfer(to: &Address, value: u128) -> Result<(), Status> {
    imp::transfer(to, value)
}

/// Calls the contract at `to` with `value`, at most `gas` (capped at what is left less 1/64 of it) and `input`.
/// Returns the bytes of its output, to be read with [`return_data`].
///
/// # Errors
/// Every status but [`Status::InvalidProgram`] and [`Status::AddressCollision`].
pub fn call(to: &Address, value: u128, gas: u64, input: &[u8]) -> Result<usize, CallError> {
    imp::call(to, value, gas, input)
}

/// Creates a contract from the ELF file `code` and runs it as its own initialiser with `value`, at most `gas` and
/// `input`.
///
/// # Errors
/// Every status but [`Status::NoCode`].
pub fn create(code: &[u8], value: u128, gas: u64, input: &[u8]) -> Result<Address, CallError> {
    imp::create(code, value, gas, input)
}

/// Copies the output of the newest [`call`] or [`create`] from `offset` on into `destination` and returns how many
/// bytes that were.
pub fn return_data_read(destination: &mut [u8], offset: usize) -> usize {
    imp::return_data_read(destination, offset)
}

/// The first `length` bytes of the output of the newest [`call`] or [`create`], or as many as there are.
#[must_use]
pub fn return_data(length: usize) -> Vec<u8> {
    let mut bytes = alloc::vec![0; length];
    let copied = return_data_read(&mut bytes, 0);
    bytes.truncate(copied);
    bytes
}

/// Plain BLAKE3.
#[must_use]
pub fn blake3(bytes: &[u8]) -> [u8; 32] {
    imp::blake3(bytes)
}

/// SHA-256.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    imp::sha256(bytes)
}

/// Keccak-256 with the pre-standard padding that Ethereum uses.
#[must_use]
pub fn keccak256(bytes: &[u8]) -> [u8; 32] {
    imp::keccak256(bytes)
}

/// Whether `signature` over `message` is valid under `public_key` by ZIP-215's rules.
#[must_use]
pub fn ed25519_verify(public_key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    imp::ed25519_verify(public_key, message, signature)
}
