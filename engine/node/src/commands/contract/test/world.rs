//! The world of one test: a state in memory that the executor changes, each transaction in both tiers.
//!
//! Interpreter and native code start from the same state, and whatever they come to (outcome, output, gas, logs, changes,
//! traps) is compared whole; so there is one state, and as long as a test goes on it is that of both.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millrace_executor::{BlockContext, ExecutionError, NotAdmissible, UnsignedOutput};
use millrace_jit::TrapKind;
use millrace_types::receipt::Failure as Reason;
use millrace_types::state::{Account, Path, account_path, code_hash, code_path, storage_path};
use millrace_types::{Address, Amount, Hash, Outcome, Payload};

use super::bench::{Bench, Executors};
use super::protocol::{Answer, Log, Request, VERSION};

/// Codes that a test may register, and logs that it may leave untaken.
const MOST_CODES: usize = 64;
const MOST_LOGS: usize = 100_000;
/// No chain's supply reaches this.
const MOST_SUPPLY: Amount = 1 << 127;

/// The SDK's numbers of its statuses, from 1 on in the order in which it declares them.
mod status {
    pub const REVERTED: u8 = 1;
    pub const TRAPPED: u8 = 2;
    pub const INSUFFICIENT_BALANCE: u8 = 3;
    pub const NO_CODE: u8 = 5;
    pub const INVALID_PROGRAM: u8 = 6;
    pub const ADDRESS_COLLISION: u8 = 7;
}

/// See the module's documentation.
pub struct World {
    bench: Arc<Bench>,
    executors: Arc<Executors>,
    chain_id: u64,
    call_depth: u32,
    block: BlockContext,
    state: BTreeMap<Path, Arc<[u8]>>,
    /// Paths of storage slots that hold something.
    slots: BTreeSet<Path>,
    codes: Vec<Arc<[u8]>>,
    logs: Vec<Log>,
    supply: Amount,
    is_greeted: bool,
}

impl World {
    /// One without accounts, in which the project's code can be deployed.
    ///
    /// # Errors
    /// When the chain's spec cannot be executed, as text.
    pub fn new(bench: Arc<Bench>) -> Result<Self, String> {
        // What the SDK's own mock begins with.
        let (chain_id, call_depth) = (1, 64);
        Ok(Self {
            executors: bench.executors(chain_id, call_depth)?,
            codes: vec![Arc::clone(&bench.code)],
            bench,
            chain_id,
            call_depth,
            block: BlockContext {
                height: 1,
                timestamp_ms: 0,
                proposer: Address([0; 32]),
                gas_limit: 0,
            },
            state: BTreeMap::new(),
            slots: BTreeSet::new(),
            logs: Vec::new(),
            supply: 0,
            is_greeted: false,
        })
    }

    /// Does what is asked.
    pub fn answer(&mut self, request: Request) -> Answer {
        self.try_answer(request).unwrap_or_else(Answer::Failed)
    }

    fn try_answer(&mut self, request: Request) -> Result<Answer, String> {
        if !self.is_greeted && !matches!(request, Request::Hello { .. }) {
            return Err("the first request of a connection is its version".into());
        }
        match request {
            Request::Hello { version } if version == VERSION => self.is_greeted = true,
            Request::Hello { version } => {
                return Err(format!(
                    "the contract's SDK speaks version {version} of the test protocol, this program {VERSION}: \
                     use the SDK that it carries"
                ));
            }
            Request::Deploy {
                sender,
                code,
                value,
                input,
            } => return self.deploy(&sender, code, value, input),
            Request::Call {
                sender,
                contract,
                value,
                input,
            } => return self.call(&sender, contract, value, input),
            Request::Register { code } => return self.register(code),
            Request::Fund { account, units } => self.fund(&account, units)?,
            Request::Balance { account } => return Ok(Answer::Number(self.account(&account)?.balance)),
            Request::SetBlock {
                height,
                timestamp_ms,
                chain_id,
                gas_limit,
                proposer,
            } => {
                self.block = BlockContext {
                    height,
                    timestamp_ms,
                    proposer,
                    gas_limit,
                };
                self.executors = self.bench.executors(chain_id, self.call_depth)?;
                self.chain_id = chain_id;
            }
            Request::SetCallDepth { depth } => {
                let depth = u32::try_from(depth).unwrap_or(u32::MAX);
                self.executors = self.bench.executors(self.chain_id, depth)?;
                self.call_depth = depth;
            }
            Request::Storage { contract, key } => {
                let value = self.state.get(&storage_path(&contract, &key));
                return Ok(Answer::Value(value.map(|bytes| bytes.to_vec())));
            }
            Request::StorageEntries => return Ok(Answer::Number(self.slots.len() as u128)),
            Request::Program { name } => {
                let code = self.bench.program(&name)?;
                let number = self.number_of(Arc::clone(&code))?;
                let code = code.to_vec();
                return Ok(Answer::Code { number, code });
            }
            Request::TakeLogs => return Ok(Answer::Logs(std::mem::take(&mut self.logs))),
        }
        Ok(Answer::Done)
    }

    fn deploy(
        &mut self,
        sender: &Address,
        code: u32,
        value: Amount,
        input: Vec<u8>,
    ) -> Result<Answer, String> {
        let bytes = self
            .codes
            .get(code as usize)
            .ok_or_else(|| format!("no code has the number {code}"))?;
        let payload = Payload::Deploy {
            code: bytes.to_vec(),
            value,
            input,
        };
        let function = (code == 0).then(|| "init".to_owned());
        self.run(sender, &payload, function, code == 0)
    }

    fn call(
        &mut self,
        sender: &Address,
        contract: Address,
        value: Amount,
        input: Vec<u8>,
    ) -> Result<Answer, String> {
        let is_own = self.account(&contract)?.code_hash == Some(self.bench.code_hash);
        let function = is_own.then(|| self.bench.function(&input));
        let payload = Payload::Call {
            to: contract,
            value,
            input,
        };
        self.run(sender, &payload, function, is_own)
    }

    fn register(&mut self, code: Vec<u8>) -> Result<Answer, String> {
        self.number_of(code.into())
            .map(|number| Answer::Number(number.into()))
    }

    fn number_of(&mut self, code: Arc<[u8]>) -> Result<u32, String> {
        if self.codes.len() >= MOST_CODES {
            return Err(format!("a test registers at most {MOST_CODES} codes"));
        }
        self.codes.push(code);
        u32::try_from(self.codes.len() - 1).map_err(|error| error.to_string())
    }

    /// Runs a transaction in both tiers. `function` is what its gas is counted under.
    fn run(
        &mut self,
        sender: &Address,
        payload: &Payload,
        function: Option<String>,
        is_own: bool,
    ) -> Result<Answer, String> {
        let run = |executor: &millrace_executor::Executor| {
            executor.execute_unsigned(&self.block, sender, payload, self.bench.gas(), &self.state)
        };
        let (slow, fast) = (run(&self.executors.interpreter), run(&self.executors.native));
        if let Some(difference) = difference(&slow, &fast) {
            self.bench.note_difference();
            return Err(format!("interpreter and native code differ: {difference}"));
        }
        let output = match slow {
            Ok(output) => output,
            Err(ExecutionError::NotAdmissible {
                reason: NotAdmissible::Unpayable { .. },
                ..
            }) => return Ok(ended(status::INSUFFICIENT_BALANCE)),
            Err(error) => return Err(error.to_string()),
        };
        if let Some(function) = function {
            let is_success = output.outcome == Outcome::Success;
            self.bench.note_gas(function, output.gas_used, is_success);
        }
        let answer = self.ended(&output, is_own);
        self.apply(output)?;
        Ok(answer)
    }

    fn ended(&self, output: &UnsignedOutput, is_own: bool) -> Answer {
        let status = match output.outcome {
            Outcome::Success => 0,
            Outcome::Reverted => status::REVERTED,
            Outcome::Trapped => status::TRAPPED,
            Outcome::Failed(Reason::NoCode) => status::NO_CODE,
            Outcome::Failed(Reason::InvalidProgram) => status::INVALID_PROGRAM,
            Outcome::Failed(Reason::AddressCollision) => status::ADDRESS_COLLISION,
        };
        let mut notes = String::new();
        for trap in &output.diagnostics.traps {
            // Depth 1 is the contract that was called or deployed.
            let place = match is_own && trap.depth == 1 {
                true => self.bench.place(trap.trap.pc),
                false => String::new(),
            };
            let kind: &TrapKind = &trap.trap.kind;
            notes += &format!(
                "contract {} trapped: {kind} at pc {:#x}{place}\n",
                trap.contract, trap.trap.pc
            );
        }
        if let Some(error) = &output.diagnostics.image_error {
            notes += &format!("the code is no program: {error}\n");
        }
        Answer::Ended {
            status,
            output: output.output.clone(),
            created: output.created.unwrap_or(Address([0; 32])),
            notes,
        }
    }

    fn apply(&mut self, output: UnsignedOutput) -> Result<(), String> {
        for (path, value) in output.changes {
            let is_slot = !output.accounts.contains(&path)
                && value
                    .as_ref()
                    .is_none_or(|bytes| code_path(&code_hash(bytes)) != path);
            match value {
                Some(value) => {
                    self.state.insert(path, value);
                    if is_slot {
                        self.slots.insert(path);
                    }
                }
                None => {
                    self.state.remove(&path);
                    self.slots.remove(&path);
                }
            }
        }
        if self.logs.len() + output.logs.len() > MOST_LOGS {
            return Err(format!("more than {MOST_LOGS} logs: take them more often"));
        }
        self.logs.extend(output.logs.into_iter().map(|log| Log {
            contract: log.address,
            topics: log.topics.iter().map(|Hash(topic)| *topic).collect(),
            data: log.data,
        }));
        Ok(())
    }

    fn account(&self, address: &Address) -> Result<Account, String> {
        match self.state.get(&account_path(address)) {
            None => Ok(Account::default()),
            Some(bytes) => borsh::from_slice(bytes).map_err(|error| format!("account {address}: {error}")),
        }
    }

    fn fund(&mut self, address: &Address, units: Amount) -> Result<(), String> {
        let supply = self
            .supply
            .checked_add(units)
            .filter(|supply| *supply < MOST_SUPPLY);
        self.supply = supply.ok_or("more than 2^127 units are given: no chain has as many")?;
        let mut account = self.account(address)?;
        account.balance += units;
        let bytes = borsh::to_vec(&account).map_err(|error| error.to_string())?;
        self.state.insert(account_path(address), bytes.into());
        Ok(())
    }
}

fn ended(status: u8) -> Answer {
    Answer::Ended {
        status,
        output: Vec::new(),
        created: Address([0; 32]),
        notes: String::new(),
    }
}

type Ran = Result<UnsignedOutput, ExecutionError>;

/// What the two tiers disagree on, if anything.
fn difference(slow: &Ran, fast: &Ran) -> Option<String> {
    if slow == fast {
        return None;
    }
    let (Ok(slow), Ok(fast)) = (slow, fast) else {
        return Some(format!("{slow:?} and {fast:?}"));
    };
    let said = |name: &str, slow: &dyn std::fmt::Debug, fast: &dyn std::fmt::Debug| {
        let (slow, fast) = (format!("{slow:?}"), format!("{fast:?}"));
        (slow != fast).then(|| format!("{name}: {slow} and {fast}"))
    };
    said("outcome", &slow.outcome, &fast.outcome)
        .or_else(|| said("gas", &slow.gas_used, &fast.gas_used))
        .or_else(|| said("output", &slow.output, &fast.output))
        .or_else(|| said("traps", &slow.diagnostics, &fast.diagnostics))
        .or_else(|| said("logs", &slow.logs, &fast.logs))
        .or_else(|| said("created", &slow.created, &fast.created))
        .or_else(|| said("changes", &slow.changes, &fast.changes))
        .or_else(|| Some("the accounts that they touch".to_owned()))
}

#[cfg(test)]
mod tests;
