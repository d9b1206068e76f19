//! The other world of [`Mock`](super::Mock): the executor of a chain, behind a local socket.
//!
//! Where the environment variable [`SOCKET`] names a socket, as it does under `millrace contract test`, every operation
//! of a `Mock` goes there: a frame for the request, a frame for the answer. The contract at the root of the project's
//! program is then the project's own ELF file; other programs are those that the test registers, by the name of a program
//! of the project or with their ELF files ([`Mock::register_program`](super::Mock::register_program),
//! [`Mock::register_code`](super::Mock::register_code)).
//!
//! A frame is its length, a `u32` in little endian, and as many bytes, which are borsh. The other side, which documents
//! requests and answers, is `engine/node/src/commands/contract/test/protocol.rs`.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::world::{Log, Program};
use super::{Failed, identity};
use crate::encoding::{Fixed, Reader};
use crate::host::{BlockContext, Status};
use crate::{Address, Revert};

/// Names the socket.
pub const SOCKET: &str = "MILLRACE_CONTRACT_HOST";

/// Names the program under test.
pub const PROGRAM: &str = "MILLRACE_CONTRACT_PROGRAM";

/// The version of requests and answers.
const VERSION: u16 = 2;
/// Longest frame, in bytes.
const MOST_FRAME_BYTES: usize = 8 << 20;

/// The program that stands for the project's own code where none of them says which contract it is, by its address: the
/// first that a test deploys without its ELF file.
static OWN: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static REMOTE: RefCell<Option<Remote>> = const { RefCell::new(None) };
}

/// Requests, by their first byte.
mod request {
    pub const HELLO: u8 = 0;
    pub const DEPLOY: u8 = 1;
    pub const CALL: u8 = 2;
    pub const REGISTER: u8 = 3;
    pub const FUND: u8 = 4;
    pub const BALANCE: u8 = 5;
    pub const SET_BLOCK: u8 = 6;
    pub const SET_CALL_DEPTH: u8 = 7;
    pub const STORAGE: u8 = 8;
    pub const STORAGE_ENTRIES: u8 = 9;
    pub const TAKE_LOGS: u8 = 10;
    pub const PROGRAM: u8 = 11;
}

/// Answers, by their first byte.
mod answer {
    pub const DONE: u8 = 0;
    pub const ENDED: u8 = 1;
    pub const NUMBER: u8 = 2;
    pub const VALUE: u8 = 3;
    pub const LOGS: u8 = 4;
    pub const FAILED: u8 = 5;
    pub const CODE: u8 = 6;
}

/// A world elsewhere.
pub struct Remote {
    stream: UnixStream,
    /// Programs that were registered with their code: address, and the code's number.
    programs: Vec<(usize, u32)>,
}

/// Starts this thread's world afresh: elsewhere, if the environment says so.
pub fn connect() {
    let remote = std::env::var_os(SOCKET).map(|socket| {
        let stream = UnixStream::connect(&socket);
        let stream = stream.unwrap_or_else(|error| panic!("{SOCKET} {}: {error}", socket.display()));
        let mut remote = Remote {
            stream,
            programs: Vec::new(),
        };
        remote.done(Request::new(request::HELLO).fixed(VERSION));
        remote
    });
    REMOTE.set(remote);
}

/// Acts on the world elsewhere; `None` if this thread's world is in memory.
pub fn with<T>(act: impl FnOnce(&mut Remote) -> T) -> Option<T> {
    REMOTE.with_borrow_mut(|remote| remote.as_mut().map(act))
}

/// A request under construction.
struct Request(Vec<u8>);

impl Request {
    fn new(kind: u8) -> Self {
        Self(vec![kind])
    }

    fn fixed(mut self, value: impl Fixed) -> Self {
        self.0.extend(value.to_bytes().as_ref());
        self
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        let length = u32::try_from(bytes.len()).expect("a test's input is shorter than 4 GiB");
        self.0.extend(length.to_le_bytes());
        self.0.extend(bytes);
        self
    }
}

impl Remote {
    pub fn deploy(
        &mut self,
        sender: Address,
        program: Program,
        value: u128,
        input: &[u8],
    ) -> Result<Address, Failed> {
        let code = self.code_of(program);
        let request = Request::new(request::DEPLOY)
            .fixed(sender)
            .fixed(code)
            .fixed(value);
        self.run(request.bytes(input)).map(|(_, created)| created)
    }

    pub fn call(
        &mut self,
        sender: Address,
        contract: Address,
        value: u128,
        input: &[u8],
    ) -> Result<Vec<u8>, Failed> {
        let request = Request::new(request::CALL)
            .fixed(sender)
            .fixed(contract)
            .fixed(value);
        self.run(request.bytes(input)).map(|(output, _)| output)
    }

    pub fn register_code(&mut self, code: &[u8], program: Program) {
        let number = self.number(Request::new(request::REGISTER).bytes(code));
        let number = u32::try_from(number).expect("codes are few");
        self.programs.push((program as usize, number));
    }

    pub fn register_program(&mut self, name: &str, program: Program) -> Vec<u8> {
        let request = Request::new(request::PROGRAM).bytes(name.as_bytes());
        let (number, code) = self.ask(request, answer::CODE, |reader| {
            Ok((reader.read()?, reader.read::<&[u8]>()?.to_vec()))
        });
        self.programs.push((program as usize, number));
        code
    }

    pub fn fund(&mut self, account: Address, units: u128) {
        self.done(Request::new(request::FUND).fixed(account).fixed(units));
    }

    pub fn balance(&mut self, account: &Address) -> u128 {
        self.number(Request::new(request::BALANCE).fixed(*account))
    }

    pub fn set_block(&mut self, block: BlockContext) {
        let request = Request::new(request::SET_BLOCK)
            .fixed(block.height)
            .fixed(block.timestamp_ms)
            .fixed(block.chain_id)
            .fixed(block.gas_limit);
        self.done(request.fixed(block.proposer));
    }

    pub fn set_call_depth(&mut self, depth: usize) {
        self.done(Request::new(request::SET_CALL_DEPTH).fixed(depth as u64));
    }

    pub fn storage(&mut self, contract: &Address, key: &[u8]) -> Option<Vec<u8>> {
        let request = Request::new(request::STORAGE).fixed(*contract).bytes(key);
        self.ask(request, answer::VALUE, |reader| {
            Ok(match reader.read::<bool>()? {
                true => Some(reader.read::<&[u8]>()?.to_vec()),
                false => None,
            })
        })
    }

    pub fn storage_entries(&mut self) -> usize {
        let entries = self.number(Request::new(request::STORAGE_ENTRIES));
        usize::try_from(entries).expect("they are counted in memory")
    }

    pub fn take_logs(&mut self) -> Vec<Log> {
        self.ask(Request::new(request::TAKE_LOGS), answer::LOGS, |reader| {
            let mut logs = Vec::new();
            for _ in 0..reader.read::<u32>()? {
                let contract = reader.read()?;
                let mut topics = Vec::new();
                for _ in 0..reader.read::<u32>()? {
                    topics.push(reader.read()?);
                }
                let data = reader.read::<&[u8]>()?.to_vec();
                logs.push(Log {
                    contract,
                    topics,
                    data,
                });
            }
            Ok(logs)
        })
    }

    /// The number of the code that a program stands for.
    fn code_of(&self, program: Program) -> u32 {
        let address = program as usize;
        // The newest registration counts.
        if let Some((_, number)) = self.programs.iter().rev().find(|(known, _)| *known == address) {
            return *number;
        }
        let own = std::env::var_os(PROGRAM).and_then(|own| own.into_string().ok());
        if let (Some(path), Some(own)) = (identity::of(program), own) {
            assert!(
                is_at_root(path, &own),
                "on the executor the contract at the root of the program {own} is known, and {path} is another: register it \
                 by Mock::register_program, or with its ELF file by Mock::register_code"
            );
            return 0;
        }
        let own = OWN
            .compare_exchange(0, address, Ordering::Relaxed, Ordering::Relaxed)
            .unwrap_or_else(|own| own);
        assert!(
            own == 0 || own == address,
            "on the executor only the project's own ELF file is known, and these tests deploy another program beside it: \
             register that by Mock::register_program, or with its ELF file by Mock::register_code, first"
        );
        0
    }

    /// A transaction: its output, and the contract that it made.
    fn run(&mut self, request: Request) -> Result<(Vec<u8>, Address), Failed> {
        let (status, output, created, notes) = self.ask(request, answer::ENDED, |reader| {
            let status = reader.read::<u8>()?;
            let output = reader.read::<&[u8]>()?.to_vec();
            Ok((status, output, reader.read()?, reader.read::<&str>()?.to_owned()))
        });
        // The test's own output, which is shown when it fails.
        eprint!("{notes}");
        match status {
            0 => Ok((output, created)),
            code => Err(Failed {
                status: status_of(code),
                output: without_place(output),
            }),
        }
    }

    fn done(&mut self, request: Request) {
        self.ask(request, answer::DONE, |_| Ok(()));
    }

    fn number(&mut self, request: Request) -> u128 {
        self.ask(request, answer::NUMBER, |reader| reader.read())
    }

    /// Asks, and reads the answer, which must be of that kind.
    fn ask<T>(
        &mut self,
        request: Request,
        kind: u8,
        read: impl FnOnce(&mut Reader<'_>) -> Result<T, Revert>,
    ) -> T {
        let answer = self
            .exchange(&request.0)
            .unwrap_or_else(|error| panic!("the executor's side of the tests: {error}"));
        let mut reader = Reader::new(&answer);
        let decoded = match reader.read::<u8>() {
            Ok(answer::FAILED) => {
                let why = reader.read::<&str>().unwrap_or("no reason is given");
                panic!("the executor's side of the tests: {why}")
            }
            Ok(found) if found == kind => read(&mut reader).and_then(|value| reader.finish().map(|()| value)),
            Ok(_) => Err("another kind of answer".into()),
            Err(error) => Err(error),
        };
        decoded.unwrap_or_else(|error| {
            panic!("the executor's side of the tests answers what this SDK cannot read: {error}")
        })
    }

    fn exchange(&mut self, request: &[u8]) -> std::io::Result<Vec<u8>> {
        let too_long = || std::io::Error::other(format!("a frame is longer than {MOST_FRAME_BYTES} bytes"));
        if request.len() > MOST_FRAME_BYTES {
            return Err(too_long());
        }
        let length = u32::try_from(request.len()).map_err(std::io::Error::other)?;
        self.stream
            .write_all(&[&length.to_le_bytes()[..], request].concat())?;
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length) as usize;
        if length > MOST_FRAME_BYTES {
            return Err(too_long());
        }
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer)?;
        Ok(answer)
    }
}

/// Whether `path` is that of a module at the root of the program `own`.
fn is_at_root(path: &str, own: &str) -> bool {
    let module = path
        .strip_prefix(&own.replace('-', "_"))
        .and_then(|rest| rest.strip_prefix("::"));
    module.is_some_and(|module| !module.contains("::"))
}

fn status_of(code: u8) -> Status {
    const ALL: [Status; 7] = [
        Status::Reverted,
        Status::Trapped,
        Status::InsufficientBalance,
        Status::TooDeep,
        Status::NoCode,
        Status::InvalidProgram,
        Status::AddressCollision,
    ];
    let status = ALL.into_iter().find(|status| *status as u8 + 1 == code);
    status.unwrap_or_else(|| panic!("the executor's side of the tests answers an unknown status, {code}"))
}

/// What a frame reverted with, without the place that a panic adds on the chain and not in memory: `, at FILE.rs:LINE`.
fn without_place(mut output: Vec<u8>) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(&output) else {
        return output;
    };
    if let Some((message, place)) = text.rsplit_once(", at ")
        && let Some((file, line)) = place.rsplit_once(':')
        && file.ends_with(".rs")
        && !line.is_empty()
        && line.bytes().all(|byte| byte.is_ascii_digit())
    {
        output.truncate(message.len());
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_project_s_own_contract_is_at_its_program_s_root() {
        assert!(is_at_root("my_token::token", "my-token"));
        for path in [
            "my_token::tests::parrot",
            "my_token::tests::example::my_token",
            "my_token",
            "my_token2::token",
            "token::token",
        ] {
            assert!(!is_at_root(path, "my-token"), "{path}");
        }
    }

    #[test]
    fn a_panics_place_is_taken_off_and_nothing_else() {
        let cut = |text: &str| String::from_utf8(without_place(text.as_bytes().to_vec())).expect("text");
        assert_eq!(cut("divided by 0, at src/main.rs:12"), "divided by 0");
        for whole in [
            "meet me, at noon:12",
            "x, at main.rs:",
            "x, at main.rs",
            "",
            "x at main.rs:1",
        ] {
            assert_eq!(cut(whole), whole);
        }
        assert_eq!(without_place(vec![0xff, 1]), [0xff, 1]);
    }
}
