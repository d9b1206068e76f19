//! The host in memory: runs contracts in a test's own process.
//!
//! ```
//! use millrace_contract::{Address, contract, mock::Mock};
//!
//! #[contract]
//! mod calculator {
//!     #[init]
//!     fn init() {}
//!
//!     #[call(0x01)]
//!     fn double(n: u64) -> u64 {
//!         2 * n
//!     }
//! }
//!
//! let alice = Address([1; 32]);
//! let mut mock = Mock::new();
//! let contract = mock.deploy(alice, calculator::dispatch, 0, &[]).expect("initialised");
//! let output = mock.call(alice, contract, 0, &[0x01, 21, 0, 0, 0, 0, 0, 0, 0]).expect("a success");
//! assert_eq!(output, 42_u64.to_le_bytes());
//! ```
//!
//! Frames nest, revert and move value as on the chain, and hashes and signatures are real. Gas is not metered:
//! a frame's gas is what it was given. A panic reverts with its message, without the place that the chain adds.
//! Each test thread has its own world; `Mock::new` starts it afresh.
//!
//! Under `millrace contract test` the same tests run on the executor of a chain, as interpreted and as native code, where
//! gas is metered and a trap is one (`remote.rs`).

pub(crate) mod calls;
mod identity;
mod remote;
mod world;

use std::marker::PhantomData;

use crate::Address;
use crate::host::{BlockContext, Status};

#[doc(hidden)]
pub use identity::identify;
use world::{End, FrameEnd, Receiver, World, with_world};
pub use world::{GAS, Log, Program};

/// Why a transaction's frame did not succeed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failed {
    /// How it failed.
    pub status: Status,
    /// What it reverted with.
    pub output: Vec<u8>,
}

impl Failed {
    /// What it reverted with, as text.
    #[must_use]
    pub fn message(&self) -> String {
        String::from_utf8_lossy(&self.output).into_owned()
    }
}

/// The world of this thread. There is one at a time.
pub struct Mock {
    this_thread: PhantomData<*const ()>,
}

impl Default for Mock {
    fn default() -> Self {
        Self::new()
    }
}

impl Mock {
    /// A world without accounts.
    #[must_use]
    pub fn new() -> Self {
        with_world(|world| *world = World::default());
        remote::connect();
        Self {
            this_thread: PhantomData,
        }
    }

    /// Deploys `program` with a transaction of `sender` that brings `value`: runs its initialiser.
    ///
    /// # Errors
    /// How the initialiser failed. Nothing is deployed then.
    pub fn deploy(
        &mut self,
        sender: Address,
        program: Program,
        value: u128,
        input: &[u8],
    ) -> Result<Address, Failed> {
        if let Some(ended) = remote::with(|remote| remote.deploy(sender, program, value, input)) {
            return ended;
        }
        let address = with_world(|world| world.next_address(&sender));
        world::begin_transaction(sender);
        finish(world::run(
            Receiver {
                address,
                program: Some(program),
            },
            sender,
            value,
            GAS,
            input.to_vec(),
        ))?;
        Ok(address)
    }

    /// Calls `contract` with a transaction of `sender` that brings `value`, and returns the output.
    ///
    /// # Errors
    /// How the call failed.
    pub fn call(
        &mut self,
        sender: Address,
        contract: Address,
        value: u128,
        input: &[u8],
    ) -> Result<Vec<u8>, Failed> {
        if let Some(ended) = remote::with(|remote| remote.call(sender, contract, value, input)) {
            return ended;
        }
        world::begin_transaction(sender);
        finish(world::run(
            Receiver {
                address: contract,
                program: None,
            },
            sender,
            value,
            GAS,
            input.to_vec(),
        ))
    }

    /// Makes `code` a valid program for the contracts that [`create`](crate::host::create) it. On the executor it must be
    /// that program's ELF file.
    pub fn register_code(&mut self, code: &[u8], program: Program) {
        if remote::with(|remote| remote.register_code(code, program)).is_none() {
            with_world(|world| world.programs.insert(code.to_vec(), program));
        }
    }

    /// Makes the program `name` of this package, or of a package beside it, one that contracts can create and tests deploy
    /// as `program`, and answers its code. On the executor that is the ELF file, which `millrace contract test` builds;
    /// in memory something stands for it.
    ///
    /// ```text
    /// let code = mock.register_program("token", token::dispatch);
    /// let token = mock.deploy(ALICE, token::dispatch, 0, &token::input::init(1_000, "Mill"))?;
    /// ```
    pub fn register_program(&mut self, name: &str, program: Program) -> Vec<u8> {
        if let Some(code) = remote::with(|remote| remote.register_program(name, program)) {
            return code;
        }
        let code = format!("the code of {name}").into_bytes();
        self.register_code(&code, program);
        code
    }

    /// Gives `units` of the native token to `account`.
    pub fn fund(&mut self, account: Address, units: u128) {
        if remote::with(|remote| remote.fund(account, units)).is_none() {
            with_world(|world| *world.state.balances.entry(account).or_default() += units);
        }
    }

    /// Units of the native token that `account` holds.
    #[must_use]
    pub fn balance(&self, account: &Address) -> u128 {
        remote::with(|remote| remote.balance(account))
            .unwrap_or_else(|| with_world(|world| world.state.balance(account)))
    }

    /// Sets what the following transactions see of their block.
    pub fn set_block(&mut self, block: BlockContext) {
        if remote::with(|remote| remote.set_block(block)).is_none() {
            with_world(|world| world.block = block);
        }
    }

    /// Allows frames to nest this deep; 64 unless set.
    pub fn set_call_depth(&mut self, depth: usize) {
        if remote::with(|remote| remote.set_call_depth(depth)).is_none() {
            with_world(|world| world.call_depth = depth);
        }
    }

    /// What `contract` stored under `key`.
    #[must_use]
    pub fn storage(&self, contract: &Address, key: &[u8]) -> Option<Vec<u8>> {
        remote::with(|remote| remote.storage(contract, key)).unwrap_or_else(|| {
            with_world(|world| world.state.storage.get(&(*contract, key.to_vec())).cloned())
        })
    }

    /// How many keys all contracts store.
    #[must_use]
    pub fn storage_entries(&self) -> usize {
        remote::with(|remote| remote.storage_entries())
            .unwrap_or_else(|| with_world(|world| world.state.storage.len()))
    }

    /// Takes the logs of all transactions since the last time.
    #[must_use]
    pub fn take_logs(&mut self) -> Vec<Log> {
        remote::with(|remote| remote.take_logs())
            .unwrap_or_else(|| with_world(|world| std::mem::take(&mut world.state.logs)))
    }
}

fn finish(end: End) -> Result<Vec<u8>, Failed> {
    match end {
        End::Frame(FrameEnd::Return(output)) => Ok(output),
        End::Frame(FrameEnd::Revert(output)) => Err(Failed {
            status: Status::Reverted,
            output,
        }),
        End::Refused(status) => Err(Failed {
            status,
            output: Vec::new(),
        }),
    }
}
