//! What a test's `Mock` asks, and what it is answered: frames on a local socket, version 2.
//!
//! A frame is its length, a `u32` in little endian, and that many bytes: the borsh encoding of a [`Request`] or an
//! [`Answer`]. One connection is one world. The other side is `contracts/sdk/src/mock/remote.rs`.

use std::io::{self, Read, Write};

use borsh::{BorshDeserialize, BorshSerialize};
use millrace_types::{Address, Amount};

/// The version that both sides must speak.
pub const VERSION: u16 = 2;
/// Longest frame, in bytes: more than any ELF file, output or log that a chain takes.
pub const MOST_FRAME_BYTES: usize = 8 << 20;

/// What a test wants of its world.
#[derive(BorshDeserialize, BorshSerialize, Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// The first of a connection: the version that it speaks.
    Hello { version: u16 },
    /// A transaction that deploys the code with that number: 0 is the project's own.
    Deploy {
        sender: Address,
        code: u32,
        value: Amount,
        input: Vec<u8>,
    },
    /// A transaction that calls a contract.
    Call {
        sender: Address,
        contract: Address,
        value: Amount,
        input: Vec<u8>,
    },
    /// Gives an ELF file a number, which is answered.
    Register { code: Vec<u8> },
    /// Gives units to an account.
    Fund { account: Address, units: Amount },
    /// What an account holds.
    Balance { account: Address },
    /// What the following transactions see of their block.
    SetBlock {
        height: u64,
        timestamp_ms: u64,
        chain_id: u64,
        gas_limit: u64,
        proposer: Address,
    },
    /// How deep frames may nest.
    SetCallDepth { depth: u64 },
    /// A value that a contract stored.
    Storage { contract: Address, key: Vec<u8> },
    /// How many values all contracts store.
    StorageEntries,
    /// The logs since they were last taken.
    TakeLogs,
    /// Gives another program of the project a number, which is answered with its code.
    Program { name: String },
}

/// What is answered.
#[derive(BorshDeserialize, BorshSerialize, Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Done; there is nothing to say.
    Done,
    /// How a transaction ended.
    Ended {
        /// 0 success; else as the SDK numbers its `Status` from 1 on.
        status: u8,
        /// What the contract returned or reverted with.
        output: Vec<u8>,
        /// The contract that a deploy made, else zeros.
        created: Address,
        /// For people: traps, each on a line.
        notes: String,
    },
    /// A number.
    Number(u128),
    /// A value, if there is one.
    Value(Option<Vec<u8>>),
    /// Logs.
    Logs(Vec<Log>),
    /// The test must not go on: why.
    Failed(String),
    /// A code's number, and its bytes.
    Code { number: u32, code: Vec<u8> },
}

/// An event.
#[derive(BorshDeserialize, BorshSerialize, Clone, PartialEq, Eq, Debug)]
pub struct Log {
    /// The contract.
    pub contract: Address,
    /// At most four.
    pub topics: Vec<[u8; 32]>,
    /// Anything.
    pub data: Vec<u8>,
}

/// Why a frame could not be read.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The connection broke.
    #[error("the connection to the test: {0}")]
    Connection(#[from] io::Error),
    /// The frame says that it is longer than any.
    #[error("a frame of {0} bytes, the limit is {MOST_FRAME_BYTES}")]
    TooLong(usize),
    /// The frame holds no request.
    #[error("a frame that holds no request: {0}; does the contract use another version of the SDK?")]
    Malformed(String),
}

/// The next request; none at the end of the connection.
///
/// # Errors
/// When the frame is too long or holds no request, or the connection breaks inside it.
pub fn receive(from: &mut impl Read) -> Result<Option<Request>, FrameError> {
    let mut length = [0; 4];
    match from.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > MOST_FRAME_BYTES {
        return Err(FrameError::TooLong(length));
    }
    // What arrives is what takes memory, whatever the frame says of itself.
    let mut bytes = Vec::new();
    from.take(length as u64).read_to_end(&mut bytes)?;
    borsh::from_slice(&bytes)
        .map(Some)
        .map_err(|error| FrameError::Malformed(error.to_string()))
}

/// Sends an answer. One that is too long for a frame becomes a failure that says so.
///
/// # Errors
/// When the connection breaks.
pub fn send(to: &mut impl Write, answer: &Answer) -> io::Result<()> {
    let mut bytes = borsh::to_vec(answer)?;
    if bytes.len() > MOST_FRAME_BYTES {
        bytes = borsh::to_vec(&Answer::Failed(format!(
            "the answer has {} bytes, the limit is {MOST_FRAME_BYTES}; take the logs more often",
            bytes.len()
        )))?;
    }
    let length = u32::try_from(bytes.len()).expect("bounded above");
    to.write_all(&[&length.to_le_bytes()[..], &bytes].concat())
}
