//! What the host in memory remembers, and how a frame runs on it.

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::Address;
use crate::host::{BlockContext, Status};

/// What a frame runs: a contract's `dispatch`.
pub type Program = fn() -> !;

/// The gas of a transaction's frame.
pub const GAS: u64 = 1 << 40;

/// An event that a contract emitted in a frame that was not undone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Log {
    /// The contract.
    pub contract: Address,
    /// At most four.
    pub topics: Vec<[u8; 32]>,
    /// Anything.
    pub data: Vec<u8>,
}

/// What a frame can change and a revert undoes.
#[derive(Clone, Default)]
pub struct State {
    pub balances: BTreeMap<Address, u128>,
    pub code: BTreeMap<Address, Program>,
    pub created: BTreeMap<Address, u64>,
    pub storage: BTreeMap<(Address, Vec<u8>), Vec<u8>>,
    pub transient: BTreeMap<(Address, Vec<u8>), Vec<u8>>,
    pub logs: Vec<Log>,
}

/// One run of a contract.
pub struct Frame {
    pub address: Address,
    pub caller: Address,
    pub value: u128,
    pub input: Vec<u8>,
    pub initialising: bool,
    pub gas: u64,
    pub return_data: Vec<u8>,
}

/// Everything.
pub struct World {
    pub state: State,
    pub programs: BTreeMap<Vec<u8>, Program>,
    pub frames: Vec<Frame>,
    pub origin: Address,
    pub block: BlockContext,
    pub call_depth: usize,
}

impl Default for World {
    fn default() -> Self {
        Self {
            state: State::default(),
            programs: BTreeMap::new(),
            frames: Vec::new(),
            origin: Address::default(),
            block: BlockContext {
                height: 1,
                chain_id: 1,
                ..BlockContext::default()
            },
            call_depth: 64,
        }
    }
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::default();
}

/// Looks at or changes this thread's world. Contracts never run inside.
pub fn with_world<T>(act: impl FnOnce(&mut World) -> T) -> T {
    WORLD.with_borrow_mut(act)
}

impl World {
    /// The frame that runs.
    ///
    /// # Panics
    /// If none does: a host call outside of a contract.
    pub fn frame(&mut self) -> &mut Frame {
        self.frames
            .last_mut()
            .expect("host calls are for contracts: run this one by Mock::call or Mock::deploy")
    }

    /// Checks what is checked before anything of a callee is looked at.
    pub fn check_caller(&self, caller: &Address, value: u128) -> Result<(), Status> {
        if self.state.balance(caller) < value {
            return Err(Status::InsufficientBalance);
        }
        if self.frames.len() >= self.call_depth {
            return Err(Status::TooDeep);
        }
        Ok(())
    }

    /// The address of the next contract that `creator` makes.
    pub fn next_address(&mut self, creator: &Address) -> Address {
        let count = self.state.created.entry(*creator).or_default();
        let mut hasher = blake3::Hasher::new_keyed(b"millrace/addr-create/1\0\0\0\0\0\0\0\0\0\0");
        hasher.update(&creator.0).update(&count.to_le_bytes());
        *count += 1;
        Address(*hasher.finalize().as_bytes())
    }
}

impl State {
    /// Units that `account` holds.
    pub fn balance(&self, account: &Address) -> u128 {
        self.balances.get(account).copied().unwrap_or_default()
    }

    /// Moves `value`, if `from` holds it.
    pub fn transfer(&mut self, from: Address, to: Address, value: u128) -> Result<(), Status> {
        let left = self
            .balance(&from)
            .checked_sub(value)
            .ok_or(Status::InsufficientBalance)?;
        self.balances.insert(from, left);
        *self.balances.entry(to).or_default() += value;
        Ok(())
    }
}

/// How a frame that ran ended; also what unwinds out of its program.
pub enum FrameEnd {
    Return(Vec<u8>),
    Revert(Vec<u8>),
}

/// What became of a call.
pub enum End {
    /// The callee ran.
    Frame(FrameEnd),
    /// It never did.
    Refused(Status),
}

/// Whom a frame is for: a contract that exists, or a new one with the program that it is to have.
pub struct Receiver {
    pub address: Address,
    pub program: Option<Program>,
}

/// Forgets what lives for one transaction.
pub fn begin_transaction(sender: Address) {
    with_world(|world| {
        world.origin = sender;
        world.state.transient.clear();
    });
}

/// Runs one frame, and undoes what it did unless it succeeds.
pub fn run(receiver: Receiver, caller: Address, value: u128, gas: u64, input: Vec<u8>) -> End {
    let Receiver {
        address,
        program: fresh,
    } = receiver;
    let before = with_world(|world| world.state.clone());
    let program = match with_world(|world| enter(world, address, fresh, caller, value)) {
        Ok(program) => program,
        Err(status) => return End::Refused(status),
    };
    let initialising = fresh.is_some();
    let frame = Frame {
        address,
        caller,
        value,
        input,
        initialising,
        gas,
        return_data: Vec::new(),
    };
    with_world(|world| world.frames.push(frame));
    let end = match catch_unwind(AssertUnwindSafe(|| program())) {
        Ok(never) => never,
        Err(payload) => end_of(payload),
    };
    with_world(|world| {
        world.frames.pop();
        match (&end, fresh) {
            (FrameEnd::Revert(_), _) => world.state = before,
            // Not before: until its initialiser is done, a contract has no code that others could call.
            (FrameEnd::Return(_), Some(program)) => drop(world.state.code.insert(address, program)),
            (FrameEnd::Return(_), None) => {}
        }
    });
    End::Frame(end)
}

/// Checks what is checked before a callee runs, and moves the value.
fn enter(
    world: &mut World,
    address: Address,
    fresh: Option<Program>,
    caller: Address,
    value: u128,
) -> Result<Program, Status> {
    world.check_caller(&caller, value)?;
    let existing = world.state.code.get(&address).copied();
    let program = match (fresh, existing) {
        (Some(_), Some(_)) => return Err(Status::AddressCollision),
        (Some(program), None) | (None, Some(program)) => program,
        (None, None) => return Err(Status::NoCode),
    };
    world.state.transfer(caller, address, value)?;
    Ok(program)
}

/// What unwound out of a program: the end that it chose, or a panic, which reverts with its message.
fn end_of(payload: Box<dyn Any + Send>) -> FrameEnd {
    match payload.downcast::<FrameEnd>() {
        Ok(end) => *end,
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("a panic without a message");
            FrameEnd::Revert(text.as_bytes().to_vec())
        }
    }
}
