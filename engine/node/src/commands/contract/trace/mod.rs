//! `millrace contract trace`: a transaction once more, on this machine, on the state that it met, with somebody watching.
//!
//! The node gives blocks and values of the state before the block, and no more than that: what happened is found out here, by
//! the same executor, and compared with the receipt. So any node will do that keeps that state, and the names and
//! lines of programs that were built here are at hand.
//!
//! [`remote`] reads the state, [`programs`] knows names, [`recorder`] writes down what happened and [`functions`] who used what gas,
//! [`show`] prints it.

mod functions;
mod names;
mod programs;
mod recorder;
mod remote;
mod show;

use std::path::PathBuf;
use std::sync::Arc;

use millrace_executor::{BlockContext, Executor, StateReader, Tier, on_large_stack};
use millrace_pipeline::BlockId;
use millrace_rpc::shapes::{
    BlockView, LocatedTransactionView, LogView, TransactionDetail, TransactionReceiptView, TransactionsView,
    outcome_word,
};
use millrace_rpc::{BlockReference, MillraceClient as _};
use millrace_types::merkle::transactions_root;
use millrace_types::state::{account_path, code_hash, code_path};
use millrace_types::{
    Address, Amount, ChainSpec, Gas, Hash, Header, Outcome, Payload, SignedTransaction, TransactionReceipt,
    codec, hex as hex_text,
};

use self::programs::{Locals, Programs};
use self::recorder::{Recorder, Trace};
use self::remote::RemoteState;
use self::show::Shown;
use super::Input;
use crate::client::Client;
use crate::commands::amount;
use crate::commands::tx::NodeArgs;
use crate::failure::Failure;

/// Shows what a transaction did, or what a call would do: frames, storage, logs, gas by function, and the source lines of a
/// failure.
///
/// A transaction that was executed is named by its hash. A call that was not sent is given as `contract read` takes it: the
/// contract, and a function with its arguments or `--input`. It is executed again on this machine, on the state that the node
/// shows; names and lines come from programs that were built here.
#[derive(clap::Args, Debug)]
pub struct TraceArgs {
    /// A transaction's hash; or, before a function, the contract that is called.
    #[arg(value_name = "TRANSACTION|CONTRACT")]
    what: What,
    /// The function to try, as the contract's interface names it.
    #[arg(conflicts_with = "input", group = "tried")]
    function: Option<String>,
    /// Its arguments.
    #[arg(conflicts_with = "input", allow_negative_numbers = true)]
    arguments: Vec<String>,
    /// Input of a call to try, hex, instead of a function and arguments.
    #[arg(long, group = "tried")]
    input: Option<Input>,
    /// Who seems to call; the zero address by default.
    #[arg(long, requires = "tried")]
    from: Option<Address>,
    /// Units that seem to come along.
    #[arg(long, default_value_t = 0, value_parser = amount, requires = "tried")]
    value: Amount,
    /// Gas of a call to try; the chain's limit of a transaction by default.
    #[arg(long, requires = "tried")]
    gas_limit: Option<Gas>,
    /// The state that a call is tried on: a tag, a height or a block hash.
    #[arg(long, default_value = "executed", requires = "tried")]
    block: BlockReference,
    /// A program's ELF file, with its `.symbols.elf` and `.json` beside it; may be given often. Which contracts
    /// have it is found out by its hash.
    #[arg(long, value_name = "FILE")]
    program: Vec<PathBuf>,
    /// A folder of such files, as `contract build` leaves one.
    #[arg(long, value_name = "DIR", default_value = "out")]
    out: PathBuf,
    /// The node.
    #[command(flatten)]
    node: NodeArgs,
}

/// 32 bytes that name a transaction or a contract.
#[derive(Clone, Copy, Debug)]
struct What([u8; 32]);

impl std::str::FromStr for What {
    type Err = hex_text::HexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(|Hash(bytes)| Self(bytes))
    }
}

/// What was traced, and what it came to.
struct Traced {
    /// Where a transaction stands; none of a call that was tried.
    place: Option<Place>,
    outcome: Outcome,
    output: Vec<u8>,
    logs: Vec<LogView>,
    gas_used: Gas,
    /// Of it, what the transaction cost before anything ran.
    intrinsic: Gas,
    gas_limit: Gas,
    created: Option<Address>,
    /// Why nothing ran, if that is so.
    why: Option<String>,
    trace: Trace,
    /// State it ran on.
    state: BlockReference,
}

/// A transaction's place.
struct Place {
    hash: Hash,
    block_hash: Hash,
    height: u64,
    index: u32,
    gas_charged: Gas,
}

impl TraceArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// When the node does not have what is needed, or something else came out than its receipt says.
    pub async fn run(self) -> Result<(), Failure> {
        let locals = Locals::read(&self.program, &self.out)?;
        for warning in &locals.warnings {
            tracing::warn!("{warning}");
        }
        let client = Client::new(&self.node.rpc)?;
        let executor = executor(&client).await?;
        let is_call = self.function.is_some() || self.input.is_some();
        let traced = if is_call {
            self.trace_call(&client, &executor, &locals).await?
        } else {
            self.trace_transaction(&client, &executor, &locals).await?
        };
        Shown::new(&traced, &locals).print(self.node.json)
    }

    async fn trace_transaction(
        &self,
        client: &Client,
        executor: &Executor,
        locals: &Locals,
    ) -> Result<Traced, Failure> {
        let hash = Hash(self.what.0);
        let (located, receipt) = self.find(client, hash).await?;
        let (block_hash, index) = (located.block_hash, located.index);
        let block = block(client, at(block_hash)).await?;
        let transactions = transactions(client, &block)?;
        let count = usize::try_from(index).unwrap_or(usize::MAX);
        let Some((traced, before)) = transactions.get(..=count).and_then(<[_]>::split_last) else {
            return Err(Failure::new(format!(
                "{}: block {block_hash} has {} transactions, and this one is said to be number {index}",
                self.node.rpc,
                transactions.len()
            )));
        };
        if traced.hash() != hash {
            let told = format!("transaction {index} of block {block_hash} is not {hash}");
            return Err(client.odd(&told).into());
        }
        let state = at(block.header.parent_hash);
        let reader = RemoteState::new(client.clone(), block.header.parent_hash);
        reader.prefetch(touched(before)).await.map_err(kept)?;
        let context = context(&block);
        let done = self.on_executor(executor, &reader, || {
            for (index, transaction) in (0..).zip(before) {
                let done = executor.execute_transaction(&context, index, transaction, &reader)?;
                reader.apply(done.changes);
            }
            let find_code = |hash: &Hash| find_code(&reader, &traced.transaction.payload, hash);
            let programs = Programs::new(locals, Box::new(find_code));
            let recorder = Recorder::new(&programs);
            let done = executor.trace_transaction(&context, index, traced, &reader, &recorder)?;
            Ok((done, recorder.finish()))
        })?;
        let (done, trace) = done;
        let mine = &done.receipt;
        let logs: Vec<_> = mine.logs.iter().map(LogView::from).collect();
        let differs = differences(mine, &receipt);
        if !differs.is_empty() {
            return Err(Failure::new(format!(
                "transaction {hash} comes to {} with {} gas here, and its receipt says {} with {} (other: {}): {} executes by other \
                 rules than this build, or shows another state",
                outcome_word(&mine.outcome),
                mine.gas_used,
                receipt.outcome,
                receipt.gas_used,
                differs.join(", "),
                self.node.rpc
            )));
        }
        let schedule = millrace_executor::schedule(executor.spec().versions_at(context.height).gas);
        let intrinsic = schedule.map_or(0, |schedule| millrace_executor::intrinsic_gas(traced, schedule));
        Ok(Traced {
            place: Some(Place {
                hash,
                block_hash,
                height: block.header.height,
                index,
                gas_charged: mine.gas_charged,
            }),
            outcome: mine.outcome.clone(),
            output: done.receipt.output.clone(),
            logs,
            gas_used: mine.gas_used,
            intrinsic,
            gas_limit: traced.transaction.gas_limit,
            created: mine.created,
            why: why(
                &done.diagnostics.traps,
                done.diagnostics.image_error.as_ref(),
                &trace,
            ),
            trace,
            state,
        })
    }

    /// The transaction and its receipt.
    async fn find(
        &self,
        client: &Client,
        hash: Hash,
    ) -> Result<(LocatedTransactionView, TransactionReceiptView), Failure> {
        let located = client.http().transaction(hash).await;
        let Some(located) = located.map_err(|error| client.failed(error))? else {
            let account = client.http().account(Address(hash.0), None, None).await;
            let hint = match account.map_err(|error| client.failed(error))?.code_hash {
                Some(_) => "; it is a contract: name a function to try, or give --input",
                None => "; `millrace tx status` tells more of one that was sent",
            };
            return Err(Failure::new(format!(
                "{} has no transaction {hash}{hint}",
                self.node.rpc
            )));
        };
        let receipt = client.http().transaction_receipt(hash, None).await;
        let receipt = receipt.map_err(|error| client.failed(error))?;
        let receipt = receipt.filter(|receipt| receipt.block_hash == located.block_hash);
        let receipt = receipt.ok_or_else(|| {
            Failure::new(format!(
                "transaction {hash} is not executed at {} yet; `millrace tx status {hash}` tells where it is",
                self.node.rpc
            ))
        })?;
        Ok((located, receipt))
    }

    async fn trace_call(
        &self,
        client: &Client,
        executor: &Executor,
        locals: &Locals,
    ) -> Result<Traced, Failure> {
        let contract = Address(self.what.0);
        // A tag may name one block to ask for and another whose state is there: it is the state that counts, as for a read.
        let origin = client.http().state(Vec::new(), Some(self.block), None).await;
        let origin = origin.map_err(|error| kept(client.failed(error)))?.origin;
        let state = at(origin.block_hash);
        let block = block(client, state).await?;
        let reader = RemoteState::new(client.clone(), block.hash);
        let from = self.from.unwrap_or_default();
        let paths = [contract, from].iter().map(account_path).collect::<Vec<_>>();
        reader.prefetch(paths).await.map_err(kept)?;
        let context = context(&block);
        let gas_limit = self.gas_limit.unwrap_or(executor.spec().limits.transaction_gas);
        let (done, trace) = self.on_executor(executor, &reader, || {
            let input = self.input(&reader, locals, contract);
            let payload = |input| Payload::Call {
                to: contract,
                value: self.value,
                input,
            };
            let payload = match input {
                Ok(input) => payload(input),
                Err(failure) => return Ok(Err(failure)),
            };
            let find_code = |hash: &Hash| find_code(&reader, &payload, hash);
            let programs = Programs::new(locals, Box::new(find_code));
            let recorder = Recorder::new(&programs);
            let done = executor.trace_payload(&context, &from, &payload, gas_limit, &reader, &recorder)?;
            Ok(Ok((done, recorder.finish())))
        })??;
        Ok(Traced {
            place: None,
            outcome: done.outcome,
            logs: done.logs.iter().map(LogView::from).collect(),
            why: why(&done.traps, done.image_error.as_ref(), &trace),
            output: done.output,
            gas_used: done.gas_used,
            intrinsic: 0,
            gas_limit,
            created: None,
            trace,
            state,
        })
    }

    /// Input of the call that is to be tried.
    fn input(&self, reader: &RemoteState, locals: &Locals, contract: Address) -> Result<Vec<u8>, Failure> {
        if let Some(input) = &self.input {
            return Ok(input.0.clone());
        }
        let account = reader.account(&account_path(&contract));
        let hash = account
            .map_err(|error| Failure::new(error.to_string()))?
            .code_hash;
        let hash = hash.ok_or_else(|| Failure::new(format!("there is no contract at {contract}")))?;
        let interface = locals.get(&hash).and_then(|local| local.interface.as_ref());
        let interface = interface.ok_or_else(|| {
            Failure::new(format!(
                "no interface of contract {contract} is here (code {hash}): run this where it was built, give --out DIR or --program \
                 FILE, or the encoded input by --input"
            ))
        })?;
        let name = self.function.as_deref().unwrap_or_default();
        let function = interface
            .function(name)
            .map_err(|error| Failure::new(error.to_string()))?;
        function
            .input(&self.arguments)
            .map_err(|error| Failure::new(error.to_string()))
    }

    /// Executes on a thread with room for the chain's deepest calls. A node that stops answering is named.
    fn on_executor<T: Send>(
        &self,
        executor: &Executor,
        reader: &RemoteState,
        work: impl FnOnce() -> Result<T, millrace_executor::ExecutionError> + Send,
    ) -> Result<T, Failure> {
        let run = || on_large_stack(executor.spec(), work);
        let done = tokio::task::block_in_place(run).map_err(|error| {
            let depth = executor.spec().limits.call_depth;
            Failure::new(format!(
                "starting a thread with room for the chain's limits.call_depth of {depth} frames: {error}"
            ))
        })?;
        done.map_err(|error| match reader.failure() {
            Some(failure) => kept(failure),
            None => Failure::new(format!(
                "{} cannot be executed on the state that {} shows: {error}",
                Hash(self.what.0),
                self.node.rpc
            )),
        })
    }
}

/// What a receipt has that an execution here came to otherwise.
fn differences(mine: &TransactionReceipt, shown: &TransactionReceiptView) -> Vec<&'static str> {
    let logs = mine.logs.iter().map(LogView::from);
    let fields = [
        ("outcome", shown.outcome == outcome_word(&mine.outcome)),
        ("gas_used", shown.gas_used == mine.gas_used),
        ("gas_charged", shown.gas_charged == mine.gas_charged),
        ("output", shown.output.0 == mine.output),
        ("logs", logs.eq(shown.logs.iter().cloned())),
        ("created", shown.created == mine.created),
    ];
    let other = fields.into_iter().filter(|(_, is_same)| !is_same);
    other.map(|(name, _)| name).collect()
}

/// A node's answer about state, with what to do if it does not have it any more.
fn kept(failure: crate::client::ClientFailure) -> Failure {
    let said = failure.to_string();
    if said.contains("Pruned: ") {
        return Failure::new(format!(
            "{said}; trace sooner, or ask a node that keeps the states of more blocks (`retention_blocks`)"
        ));
    }
    Failure::new(said)
}

/// An executor of the node's chain.
async fn executor(client: &Client) -> Result<Executor, Failure> {
    let view = client.http().chain_spec().await;
    let view = view.map_err(|error| client.failed(error))?;
    let spec = ChainSpec::decode(&view.encoded.0)
        .map_err(|error| Failure::new(format!("the node's chain spec: {error}")))?;
    let executor = Executor::new(Arc::new(spec))
        .map_err(|error| Failure::new(format!("this build cannot execute the node's chain: {error}")))?;
    // What comes before in the block is executed once: native code would not pay.
    Ok(executor.with_tier(Tier::Interpreter))
}

async fn block(client: &Client, reference: BlockReference) -> Result<BlockView, Failure> {
    let block = client
        .http()
        .block(Some(reference), Some(TransactionDetail::Full))
        .await;
    let block = block.map_err(|error| client.failed(error))?;
    let block = block.ok_or_else(|| {
        let named = serde_json::to_string(&reference).unwrap_or_default();
        Failure::new(format!("the node has no block {named}"))
    })?;
    // What contracts are told of the block has to be what its hash stands for.
    let is_asked = match reference.0 {
        BlockId::Hash(hash) => block.hash == hash,
        BlockId::Height(height) => block.header.height == height,
        BlockId::Tag(_) => true,
    };
    if !is_asked || Header::from(block.header.clone()).hash() != block.hash {
        return Err(client.odd("it answered another block than was asked").into());
    }
    Ok(block)
}

fn transactions(client: &Client, block: &BlockView) -> Result<Vec<SignedTransaction>, Failure> {
    let TransactionsView::Full(views) = &block.transactions else {
        return Err(client.odd("it answered hashes for transactions").into());
    };
    let decode = |bytes: &[u8]| codec::decode(bytes, bytes.len());
    let decoded: Result<_, _> = views.iter().map(|view| decode(&view.encoded.0)).collect();
    let decoded: Vec<SignedTransaction> =
        decoded.map_err(|error| client.odd(&format!("a transaction does not decode: {error}")))?;
    if transactions_root(&decoded) != block.header.transactions_root {
        return Err(client
            .odd("the transactions that it answered are not the block's")
            .into());
    }
    Ok(decoded)
}

fn context(block: &BlockView) -> BlockContext {
    BlockContext {
        height: block.header.height,
        timestamp_ms: block.header.timestamp_ms,
        proposer: block.header.proposer,
        gas_limit: block.header.gas_limit,
    }
}

/// Accounts that transactions are sure to read.
fn touched(transactions: &[SignedTransaction]) -> Vec<millrace_types::state::Path> {
    let mut paths = Vec::new();
    for signed in transactions {
        paths.push(account_path(&signed.sender()));
        match &signed.transaction.payload {
            Payload::Transfer { to, .. } | Payload::Call { to, .. } => paths.push(account_path(to)),
            Payload::Deploy { .. } => {}
        }
    }
    paths
}

/// The code with a hash: that of the state, or what the transaction deploys.
fn find_code(reader: &RemoteState, payload: &Payload, hash: &Hash) -> Option<Arc<[u8]>> {
    if let Payload::Deploy { code, .. } = payload
        && code_hash(code) == *hash
    {
        return Some(code.as_slice().into());
    }
    reader.get(&code_path(hash)).ok().flatten()
}

/// The block with that hash.
fn at(hash: Hash) -> BlockReference {
    BlockReference(BlockId::Hash(hash))
}

/// Why no frame says how it ended.
fn why(
    traps: &[millrace_executor::FrameTrap],
    image_error: Option<&millrace_jit::ImageError>,
    trace: &Trace,
) -> Option<String> {
    if let Some(error) = image_error {
        return Some(error.to_string());
    }
    match (&trace.root, traps.last()) {
        (None, Some(trap)) => Some(format!("{}: its code was not entered", trap.trap.kind)),
        _ => None,
    }
}
