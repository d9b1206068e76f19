//! Everything that the tests execute, once more with somebody watching: it comes to the same, and what the tracer was told
//! accounts for it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use millrace_executor::{
    BlockContext, BlockOutput, Executor, HostEvent, Jump, Stopped, TracedEnd, TracedFrame, Tracer,
};
use millrace_types::state::{Path, storage_path};
use millrace_types::{Address, Gas, Log, Outcome, SignedTransaction};

type State = BTreeMap<Path, Arc<[u8]>>;
type Slots = BTreeMap<Path, Option<Vec<u8>>>;

/// A frame, and what there was before it.
struct Open {
    contract: Address,
    depth: u32,
    gas: Gas,
    left: Option<Gas>,
    stopped: bool,
    slots: Slots,
    logs: usize,
}

/// Keeps slots and logs by what it is told alone.
struct Model<'s> {
    state: &'s State,
    inner: RefCell<Inner>,
}

#[derive(Default)]
struct Inner {
    open: Vec<Open>,
    slots: Slots,
    logs: Vec<Log>,
    frames: usize,
    /// How the transaction's own frame ended, its output, its gas.
    last: Option<(TracedEnd, Vec<u8>, Gas)>,
}

impl Model<'_> {
    fn path(inner: &Inner, key: &[u8]) -> Path {
        storage_path(&inner.open.last().expect("a frame runs").contract, key)
    }

    fn holds(&self, inner: &Inner, path: &Path) -> Option<Vec<u8>> {
        match inner.slots.get(path) {
            Some(value) => value.clone(),
            None => self.state.get(path).map(|value| value.to_vec()),
        }
    }
}

impl Tracer for Model<'_> {
    fn enters(&self, frame: &TracedFrame<'_>) {
        let mut inner = self.inner.borrow_mut();
        assert_eq!(frame.depth as usize, inner.open.len() + 1);
        if let Some(caller) = inner.open.last() {
            assert_eq!(frame.caller, caller.contract);
            assert!(caller.left.is_some_and(|left| frame.gas <= left));
        }
        inner.frames += 1;
        let (slots, logs) = (inner.slots.clone(), inner.logs.len());
        inner.open.push(Open {
            contract: frame.contract,
            depth: frame.depth,
            gas: frame.gas,
            left: None,
            stopped: false,
            slots,
            logs,
        });
    }

    fn starts(&self, _: u64, gas_left: Gas) {
        let mut inner = self.inner.borrow_mut();
        let open = inner.open.last_mut().expect("a frame has entered");
        assert!(open.left.is_none() && gas_left <= open.gas);
        open.left = Some(gas_left);
    }

    fn stopped(&self, at: &Stopped<'_>) {
        let mut inner = self.inner.borrow_mut();
        let open = inner.open.last_mut().expect("a frame has entered");
        assert!(!open.stopped && open.left.is_some_and(|left| at.gas_left <= left));
        (open.stopped, open.left) = (true, Some(at.gas_left));
    }

    fn leaves(&self, end: &TracedEnd, output: &[u8], gas_used: Gas) {
        let mut inner = self.inner.borrow_mut();
        let open = inner.open.pop().expect("a frame has entered");
        assert_eq!(open.stopped, open.left.is_some(), "what ran has stopped");
        match end {
            TracedEnd::Trapped(_) => assert_eq!((gas_used, output), (open.gas, &[][..])),
            TracedEnd::Returned | TracedEnd::Reverted => {
                assert_eq!(Some(open.gas - gas_used), open.left);
            }
        }
        if *end != TracedEnd::Returned {
            inner.slots = open.slots;
            inner.logs.truncate(open.logs);
        }
        if open.depth == 1 {
            inner.last = Some((end.clone(), output.to_vec(), gas_used));
        }
    }

    fn host_call(&self, event: &HostEvent<'_>, _: Gas) {
        let mut inner = self.inner.borrow_mut();
        match *event {
            HostEvent::StorageRead { key, value } => {
                let path = Self::path(&inner, key);
                assert_eq!(self.holds(&inner, &path).as_deref(), value);
            }
            HostEvent::StorageWritten { key, before, after } => {
                let path = Self::path(&inner, key);
                assert_eq!(self.holds(&inner, &path).as_deref(), before);
                inner.slots.insert(path, after.map(<[u8]>::to_vec));
            }
            HostEvent::CounterAdded { key, amount } => {
                let path = Self::path(&inner, key);
                let before = self.holds(&inner, &path).unwrap_or_else(|| vec![0; 16]);
                let sum = u128::from_le_bytes(before.try_into().unwrap()) + amount;
                inner.slots.insert(path, Some(sum.to_le_bytes().to_vec()));
            }
            HostEvent::Log { topics, data } => {
                let address = inner.open.last().expect("a frame runs").contract;
                inner.logs.push(Log {
                    address,
                    topics: topics.to_vec(),
                    data: data.to_vec(),
                });
            }
            HostEvent::TransientRead { .. }
            | HostEvent::TransientWritten { .. }
            | HostEvent::Transfer { .. }
            | HostEvent::Refused { .. } => {}
        }
    }

    fn jumped(&self, jump: Jump) {
        let mut inner = self.inner.borrow_mut();
        let open = inner.open.last_mut().expect("a frame runs");
        assert!(
            open.left.is_some_and(|left| jump.gas_left <= left),
            "gas only falls"
        );
        open.left = Some(jump.gas_left);
    }
}

/// Executes what came to `output` on `state` again, one after the other and traced.
pub fn check(
    executor: &Executor,
    block: &BlockContext,
    transactions: &[SignedTransaction],
    state: &State,
    output: &BlockOutput,
) {
    let mut state = state.clone();
    for ((index, transaction), receipt) in (0..).zip(transactions).zip(&output.receipts) {
        let model = Model {
            state: &state,
            inner: RefCell::default(),
        };
        let traced = executor
            .trace_transaction(block, index, transaction, &state, &model)
            .unwrap();
        assert_eq!(traced.receipt, *receipt, "a trace changes nothing");
        let untraced = executor
            .execute_transaction(block, index, transaction, &state)
            .unwrap();
        assert_eq!(traced.changes, untraced.changes);
        let inner = model.inner.into_inner();
        assert!(inner.open.is_empty(), "every frame has left");
        let is_success = receipt.outcome == Outcome::Success;
        if let Some((end, output, used)) = inner.last {
            assert_eq!(end == TracedEnd::Returned, is_success);
            assert_eq!(output, receipt.output);
            assert!(used <= receipt.gas_used);
        }
        assert_eq!(inner.logs, receipt.logs);
        for (path, value) in inner.slots {
            let now = match traced.changes.get(&path) {
                Some(value) => value.as_deref(),
                None => state.get(&path).map(|value| &**value),
            };
            assert_eq!(now, value.as_deref(), "a slot holds what was written last");
        }
        for (path, value) in traced.changes {
            match value {
                Some(value) => drop(state.insert(path, value)),
                None => drop(state.remove(&path)),
            }
        }
    }
}
