//! What all tests of a run share: the code under test, the executors, and what was counted.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use millrace_executor::{Executor, Tier};
use millrace_jit::image::Debug;
use millrace_jit::machine::machine;
use millrace_types::state::code_hash;
use millrace_types::{ChainSpec, Gas, Hash};
use serde_json::{Value, json};

use crate::commands::contract::build::build;
use crate::commands::contract::build::project::Project;
use crate::commands::contract::interface::Interface;
use crate::failure::Failure;

/// Chains (ids and depths) that the tests of one run may ask for.
const MOST_CHAINS: usize = 64;
/// Other programs that the tests of one run may ask for.
const MOST_PROGRAMS: usize = 64;

/// A program's ELF file, or why it could not be built.
type BuiltProgram = Result<Arc<[u8]>, String>;

/// See the module's documentation.
pub struct Bench {
    /// The ELF file, as it would be deployed.
    pub code: Arc<[u8]>,
    /// Its hash.
    pub code_hash: Hash,
    /// The same with symbols.
    symbols: Vec<u8>,
    interface: Option<Interface>,
    spec: ChainSpec,
    /// Where other programs of the project are found.
    project: OnceLock<Project>,
    /// Other programs that tests asked for, each built once, or why it was not.
    programs: Mutex<BTreeMap<String, BuiltProgram>>,
    executors: Mutex<BTreeMap<(u64, u32), Arc<Executors>>>,
    gas: Mutex<BTreeMap<String, GasOf>>,
    worlds: AtomicU64,
    differences: AtomicU64,
}

/// One chain's executor in both tiers.
pub struct Executors {
    /// The oracle.
    pub interpreter: Executor,
    /// Native code.
    pub native: Executor,
}

/// Gas of a function's successful runs, from their entry to their end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GasOf {
    successes: u64,
    failures: u64,
    least: Gas,
    most: Gas,
    total: u128,
}

impl Bench {
    /// For a program, the same with symbols, and its interface if there is one. Of `spec`, the newest versions count.
    pub fn new(code: Vec<u8>, symbols: Vec<u8>, interface: Option<Interface>, mut spec: ChainSpec) -> Self {
        if let Some(mut newest) = spec.versions.pop() {
            newest.height = 0;
            spec.versions = vec![newest];
        }
        Self {
            code_hash: code_hash(&code),
            code: code.into(),
            symbols,
            interface,
            spec,
            project: OnceLock::new(),
            programs: Mutex::default(),
            executors: Mutex::default(),
            gas: Mutex::default(),
            worlds: AtomicU64::new(0),
            differences: AtomicU64::new(0),
        }
    }

    /// Says where other programs are found. The first time counts.
    pub fn set_project(&self, project: Project) {
        let _ = self.project.set(project);
    }

    /// The gas of a transaction's frame: as much as the chain's limit.
    pub fn gas(&self) -> Gas {
        self.spec.limits.transaction_gas
    }

    /// The ELF file of a program of the project, which is built when it is first asked for.
    ///
    /// # Errors
    /// When there is none, or it does not build, as text.
    pub fn program(&self, name: &str) -> Result<Arc<[u8]>, String> {
        let Some(project) = self.project.get() else {
            return Err("there is no project whose programs could be built".into());
        };
        if name == project.program {
            return Ok(Arc::clone(&self.code));
        }
        // Tests that ask meanwhile wait for the build: they would ask for the same.
        let mut programs = self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = programs.get(name) {
            return known.clone();
        }
        if programs.len() >= MOST_PROGRAMS {
            return Err(format!("tests ask for at most {MOST_PROGRAMS} programs"));
        }
        let made = || Ok::<_, Failure>(build(&project.beside(name)?)?.stripped()?.into());
        let made: Result<Arc<[u8]>, String> = made().map_err(|error| error.to_string());
        programs.insert(name.to_owned(), made.clone());
        made
    }

    /// The executors of a chain with that id and depth of calls.
    ///
    /// # Errors
    /// When there can be no such chain, as text.
    pub fn executors(&self, chain_id: u64, call_depth: u32) -> Result<Arc<Executors>, String> {
        let mut all = self.executors.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = all.get(&(chain_id, call_depth)) {
            return Ok(Arc::clone(found));
        }
        if all.len() >= MOST_CHAINS {
            return Err(format!("tests run on at most {MOST_CHAINS} different chains"));
        }
        let mut spec = self.spec.clone();
        spec.chain_id = chain_id;
        spec.limits.call_depth = call_depth;
        let spec = Arc::new(spec);
        let executor = || Executor::new(Arc::clone(&spec)).map_err(|error| error.to_string());
        let made = Arc::new(Executors {
            interpreter: executor()?.with_tier(Tier::Interpreter),
            native: executor()?.with_tier(Tier::Jit),
        });
        all.insert((chain_id, call_depth), Arc::clone(&made));
        Ok(made)
    }

    /// What an input calls: a name, where the interface has one, else the selector.
    pub fn function(&self, input: &[u8]) -> String {
        let name = self
            .interface
            .as_ref()
            .and_then(|interface| interface.called(input));
        match (name, input.first()) {
            (Some(name), _) => name.to_owned(),
            (None, Some(selector)) => format!("{selector:#04x}"),
            (None, None) => "no input".to_owned(),
        }
    }

    /// Function and line of an address, as the end of a sentence; empty where nothing is known.
    pub fn place(&self, pc: u64) -> String {
        let version = self.spec.versions.first().map_or(1, |versions| versions.machine);
        let Some(machine) = machine(version) else {
            return String::new();
        };
        let frames = Debug::new(&self.symbols, machine).frames_at(pc);
        let Some(frame) = frames.into_iter().next() else {
            return String::new();
        };
        let function = frame
            .function
            .map(|name| format!(" in {name}"))
            .unwrap_or_default();
        let line = frame
            .location
            .map(|location| format!(" at {}:{}", location.file, location.line))
            .unwrap_or_default();
        function + &line
    }

    /// Counts a world.
    pub fn note_world(&self) {
        self.worlds.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a transaction in which the tiers differed.
    pub fn note_difference(&self) {
        self.differences.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a run of one of the contract's functions.
    pub fn note_gas(&self, function: String, gas: Gas, is_success: bool) {
        let mut all = self.gas.lock().unwrap_or_else(PoisonError::into_inner);
        let of = all.entry(function).or_default();
        if !is_success {
            of.failures += 1;
            return;
        }
        of.least = if of.successes == 0 { gas } else { of.least.min(gas) };
        of.most = of.most.max(gas);
        of.total += u128::from(gas);
        of.successes += 1;
    }

    /// Worlds so far, and transactions in which the tiers differed.
    pub fn counts(&self) -> (u64, u64) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (read(&self.worlds), read(&self.differences))
    }

    /// Gas by function, as a table.
    pub fn gas_as_text(&self) -> String {
        let all = self.gas.lock().unwrap_or_else(PoisonError::into_inner);
        let width = all.keys().map(String::len).max().unwrap_or(0).max(8);
        let mut text = format!(
            "{:<width$} {:>10} {:>8} {:>12} {:>12} {:>12}\n",
            "function", "successes", "others", "least gas", "mean", "most"
        );
        for (function, of) in all.iter() {
            text += &format!(
                "{function:<width$} {:>10} {:>8} {:>12} {:>12} {:>12}\n",
                of.successes,
                of.failures,
                of.least,
                of.mean(),
                of.most
            );
        }
        text
    }

    /// Gas by function, for programs.
    pub fn gas_as_json(&self) -> Vec<Value> {
        let all = self.gas.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter()
            .map(|(function, of)| {
                json!({
                    "function": function,
                    "successes": of.successes,
                    "others": of.failures,
                    "least": of.least,
                    "mean": of.mean(),
                    "most": of.most,
                })
            })
            .collect()
    }
}

impl GasOf {
    fn mean(&self) -> u64 {
        let mean = self.total / u128::from(self.successes.max(1));
        u64::try_from(mean).unwrap_or(u64::MAX)
    }
}
