//! The node under load: another process of this program.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use millrace_types::ChainSpec;
use millrace_types::chain_spec::{ConsensusSpec, GenesisAccount};
use millrace_types::keys::SecretKey;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};

use crate::failure::Failure;

/// Who sends transactions.
const ACCOUNTS: u8 = 10;
/// Files of a process that are no connections.
const MORE_FILES: u64 = 256;

/// How to start it.
pub struct Plan<'a> {
    pub directory: &'a Path,
    pub plugin: &'a Path,
    /// What it must allow.
    pub connections: u32,
    pub block_interval_ms: u64,
}

/// The process; it ends with this value.
pub struct Node {
    process: Child,
    /// Where it answers.
    pub url: String,
    /// Who has money there.
    pub accounts: Vec<SecretKey>,
}

/// Lets this process, and what it starts, open so many connections.
///
/// # Errors
/// When the system allows fewer.
pub fn allow_files(connections: u64) -> Result<(), Failure> {
    let needed = connections + MORE_FILES;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let raised = Rlimit {
        current: Some(needed),
        maximum,
    };
    setrlimit(Resource::Nofile, raised).map_err(|error| {
        Failure::new(format!(
            "{needed} open files are needed, and this process may have {}: {error}; raise it with `ulimit -n`, or take fewer \
             --subscribers and --callers",
            maximum.unwrap_or(0)
        ))
    })
}

impl Node {
    /// Starts it and waits until it answers.
    ///
    /// # Errors
    /// What keeps it from that.
    pub fn start(plan: &Plan<'_>) -> Result<Self, Failure> {
        let failed = |what: &str, error: &dyn std::fmt::Display| Failure::new(format!("{what}: {error}"));
        let accounts: Vec<SecretKey> = (0..ACCOUNTS).map(|n| SecretKey::from_seed([n + 1; 32])).collect();
        let sequencer = SecretKey::from_seed([0x51; 32]);
        write_files(plan, &accounts, &sequencer).map_err(|error| failed("the node's files", &error))?;
        let program = std::env::current_exe().map_err(|error| failed("where this program is", &error))?;
        let mut process = Command::new(program)
            .args(["node", "--json", "--config"])
            .arg(plan.directory.join("node.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| failed("starting the node", &error))?;
        let mut line = String::new();
        if let Some(stdout) = process.stdout.take() {
            BufReader::new(stdout)
                .read_line(&mut line)
                .map_err(|error| failed("the node", &error))?;
        }
        let ready: Value = serde_json::from_str(&line).unwrap_or_default();
        let mut node = Self {
            process,
            url: String::new(),
            accounts,
        };
        let url = ready["rpc"].as_str();
        url.ok_or_else(|| Failure::new("the node did not start; its own words are above"))?
            .clone_into(&mut node.url);
        Ok(node)
    }

    /// Memory that it has now.
    ///
    /// # Errors
    /// When it has ended.
    pub fn resident_mib(&self) -> Result<f64, Failure> {
        self.mib("VmRSS:")
    }

    /// The most that it ever had.
    ///
    /// # Errors
    /// When it has ended.
    pub fn most_mib(&self) -> Result<f64, Failure> {
        self.mib("VmHWM:")
    }

    fn mib(&self, field: &str) -> Result<f64, Failure> {
        let path = format!("/proc/{}/status", self.process.id());
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(field));
        let kib = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<f64>().ok());
        kib.map(|kib| kib / 1024.0)
            .ok_or_else(|| Failure::new(format!("{path} does not say {field} the node has ended")))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It holds nothing that outlasts the measurement; an error means that it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn write_files(plan: &Plan<'_>, accounts: &[SecretKey], sequencer: &SecretKey) -> std::io::Result<()> {
    let accounts = accounts.iter().map(|key| GenesisAccount {
        address: key.address(),
        balance: 1 << 100,
    });
    let consensus = ConsensusSpec {
        id: "solo/1".to_owned(),
        parameters: sequencer.public_key().0.to_vec(),
    };
    let spec = ChainSpec::development(4860, 1_767_225_600_000, accounts.collect(), consensus);
    std::fs::write(
        plan.directory.join("chain-spec.json"),
        serde_json::to_string(&spec)?,
    )?;
    let plugin = std::path::absolute(plan.plugin)?;
    let text = format!(
        "version = 1\nchain_spec = \"chain-spec.json\"\ndata_directory = \"data\"\n\n[plugin]\npath = {}\nconfig = {{ secret_key = \
         \"0x{}\", block_interval_ms = {}, empty_blocks = \"always\" }}\n\n[rpc]\nlisten = \"127.0.0.1:0\"\nmax_connections = {}\n",
        json!(plugin),
        hex::encode(sequencer.to_seed()),
        plan.block_interval_ms,
        plan.connections,
    );
    std::fs::write(plan.directory.join("node.toml"), text)
}
