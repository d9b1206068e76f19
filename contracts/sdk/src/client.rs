//! Calls of other contracts: what the clients that `import!` makes are built on.
//!
//! ```text
//! millrace_contract::import!("../../artifacts/token.json");
//!
//! let client = token::Client::new(address);
//! match client.gas(100_000).transfer_from(from, to, amount) {
//!     Ok(()) => {}
//!     Err(Failure::Named(token::Error::InsufficientBalance)) => ..,
//!     Err(other) => return Err(other.into()),
//! }
//! ```

use alloc::string::String;
use alloc::vec::Vec;

use crate::encoding::{Decode, Fixed, Reader};
use crate::error::Error;
use crate::host::{self, CallError, Status};
use crate::{Address, Revert};

/// What a callee reverted with is read up to this length, in bytes: the rest would be read at the caller's expense.
pub const MAX_MESSAGE_BYTES: usize = 256;

/// Why a call of another contract failed. `E` are the errors that the other contract has names for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure<E> {
    /// It reverted with one of its errors.
    Named(E),
    /// It reverted with another text, of which the first [`MAX_MESSAGE_BYTES`] are kept.
    Reverted(String),
    /// It did not succeed for this reason; never [`Status::Reverted`].
    Status(Status),
    /// It succeeded, and its output is none of the function's type: the contract is another than its interface says.
    Malformed,
}

impl<E: Error> Failure<E> {
    /// What happened, in a few words. An error by name is that name: whoever passes it on says so.
    #[must_use]
    pub fn message(&self) -> &str {
        match self {
            Self::Named(error) => error.text(),
            Self::Reverted(text) => text,
            Self::Status(status) => status.message(),
            Self::Malformed => "its output is not of the expected type",
        }
    }
}

/// Passes the failure on: the own caller reads `a call failed: ` and what happened, and takes it for no error of this
/// contract.
impl<E: Error> From<Failure<E>> for Revert {
    fn from(failure: Failure<E>) -> Self {
        let mut text = String::from("a call failed: ");
        text.push_str(failure.message());
        text.into()
    }
}

/// Whom to call, and with what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Target {
    /// The contract.
    pub address: Address,
    /// Units of the native token that go with a call.
    pub value: u128,
    /// Gas that the callee gets at most; never more than what is left less 1/64 of it.
    pub gas: u64,
}

impl Target {
    /// All gas that may go with a call, and no value.
    #[must_use]
    pub const fn new(address: Address) -> Self {
        Self {
            address,
            value: 0,
            gas: u64::MAX,
        }
    }

    /// Calls and decodes the output.
    ///
    /// # Errors
    /// How the call failed.
    pub fn call<R: Returned, E: Error>(&self, input: &[u8]) -> Result<R, Failure<E>> {
        let length = host::call(&self.address, self.value, self.gas, input).map_err(failure)?;
        R::take(length).ok_or(Failure::Malformed)
    }
}

/// Code to be made a contract, and what its initialiser gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Creation<'a> {
    /// An ELF file.
    pub code: &'a [u8],
    /// Units of the native token that go to the new contract.
    pub value: u128,
    /// Gas that the initialiser gets at most.
    pub gas: u64,
}

impl Creation<'_> {
    /// Creates the contract, whose initialiser decodes `input`.
    ///
    /// # Errors
    /// How it failed.
    pub fn run<E: Error>(&self, input: &[u8]) -> Result<Address, Failure<E>> {
        host::create(self.code, self.value, self.gas, input).map_err(failure)
    }
}

fn failure<E: Error>(error: CallError) -> Failure<E> {
    if error.status != Status::Reverted {
        return Failure::Status(error.status);
    }
    let output = host::return_data(error.return_bytes.min(MAX_MESSAGE_BYTES));
    // A text that was cut inside a character, or is none, keeps what is text before that.
    let text = match core::str::from_utf8(&output) {
        Ok(text) => text,
        Err(cut) => core::str::from_utf8(&output[..cut.valid_up_to()]).unwrap_or_default(),
    };
    E::from_revert(text).map_or_else(|| Failure::Reverted(text.into()), Failure::Named)
}

/// What an output decodes to.
pub trait Returned: Sized {
    /// Takes it from return data of `length` bytes; `None` if they encode another type.
    fn take(length: usize) -> Option<Self>;
}

impl Returned for () {
    fn take(length: usize) -> Option<Self> {
        (length == 0).then_some(())
    }
}

impl<T: Fixed> Returned for T {
    fn take(length: usize) -> Option<Self> {
        let mut bytes = T::ZERO;
        if length != T::LENGTH {
            return None;
        }
        host::return_data_read(bytes.as_mut(), 0);
        T::from_bytes(bytes)
    }
}

fn decoded<T: for<'a> Decode<'a>>(length: usize) -> Option<T> {
    let output = host::return_data(length);
    let mut reader = Reader::new(&output);
    let value = reader.read().ok()?;
    reader.finish().ok()?;
    Some(value)
}

impl Returned for String {
    fn take(length: usize) -> Option<Self> {
        decoded(length)
    }
}

impl<T: for<'a> Decode<'a>> Returned for Vec<T> {
    fn take(length: usize) -> Option<Self> {
        decoded(length)
    }
}

impl<T: for<'a> Decode<'a>> Returned for Option<T> {
    fn take(length: usize) -> Option<Self> {
        decoded(length)
    }
}
