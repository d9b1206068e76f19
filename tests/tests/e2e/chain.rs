//! A development chain as a child process, ended by its id at the latest when the test ends.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use millrace_tests::program;
use serde_json::Value;
use tempfile::NamedTempFile;

use crate::rpc::Rpc;
use crate::wallet::Wallet;

/// How long a chain may take to start, and a run to end.
const PATIENCE: Duration = Duration::from_secs(280);

/// A chain that runs.
pub struct Chain {
    child: Child,
    lines: Receiver<String>,
    log: NamedTempFile,
    /// What it was started with.
    arguments: Vec<String>,
    /// URL of its RPC.
    pub url: String,
    /// Hash of its genesis header.
    pub genesis: String,
    /// Its funded accounts.
    pub wallets: Vec<Wallet>,
}

impl Chain {
    /// Starts `millrace dev --json` with more arguments, on a free port, and waits until it serves.
    pub fn start<S: AsRef<str>>(arguments: &[S]) -> Self {
        let mut chain = Self::spawn(arguments);
        let ready = chain.line("ready");
        chain.url = ready["rpc"].as_str().unwrap().to_owned();
        chain.genesis = ready["genesis_hash"].as_str().unwrap().to_owned();
        let accounts = ready["accounts"].as_array().unwrap();
        chain.wallets = accounts
            .iter()
            .map(|account| Wallet::new(account["secret_key"].as_str().unwrap()))
            .collect();
        for (wallet, account) in chain.wallets.iter().zip(accounts) {
            assert_eq!(account["address"], wallet.address_text());
        }
        chain
    }

    /// Starts it without waiting for anything: it has no URL yet.
    pub fn spawn<S: AsRef<str>>(arguments: &[S]) -> Self {
        let arguments: Vec<String> = arguments.iter().map(|text| text.as_ref().to_owned()).collect();
        let log = NamedTempFile::new().unwrap();
        let mut child = Command::new(program::millrace())
            .args(["dev", "--json"])
            .args(if arguments.iter().any(|argument| argument == "--rpc-listen") {
                &[][..]
            } else {
                &["--rpc-listen", "127.0.0.1:0"][..]
            })
            .arg("--plugin")
            .arg(if arguments.iter().any(|argument| argument == "longest-chain") {
                program::longest_chain_plugin()
            } else {
                program::solo_plugin()
            })
            .args(&arguments)
            .env_remove("MILLRACE_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.reopen().unwrap())
            .spawn()
            .unwrap();
        let lines = lines_of(child.stdout.take().unwrap());
        Self {
            child,
            lines,
            log,
            arguments,
            url: String::new(),
            genesis: String::new(),
            wallets: Vec::new(),
        }
    }

    /// The next line, which must be this event.
    fn line(&mut self, event: &str) -> Value {
        let Ok(line) = self.lines.recv_timeout(PATIENCE) else {
            // Whatever the reason, what it logged says more.
            let _ = self.child.kill();
            let status = self.child.wait();
            panic!(
                "dev {:?}: no event {event:?}; it ended as {status:?}: {}",
                self.arguments,
                self.log_text()
            );
        };
        let value: Value = serde_json::from_str(&line).expect("a line of JSON");
        assert_eq!(value["event"], event, "{line}");
        value
    }

    /// What it logged so far.
    fn log_text(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap()
    }

    /// A new connection to it.
    pub fn rpc(&self) -> Rpc {
        Rpc::connect(&self.url).unwrap()
    }

    /// Waits for the end of a chain that ends by itself: it must succeed. Answers its summary.
    pub fn finish(mut self) -> Value {
        let summary = self.line("summary");
        let status = self.child.wait().unwrap();
        assert!(
            status.success(),
            "dev {:?}: {status}: {}",
            self.arguments,
            self.log_text()
        );
        summary
    }

    /// Waits for the end of a chain that must refuse to run; answers how it ended and what it said.
    pub fn wait_for_failure(&mut self) -> (ExitStatus, String) {
        let status = self.child.wait().unwrap();
        assert!(!status.success(), "dev {:?} ended well", self.arguments);
        (status, self.log_text())
    }

    /// SIGKILL, as a power cut would.
    pub fn kill(mut self) -> ExitStatus {
        self.child.kill().unwrap();
        self.child.wait().unwrap()
    }

    /// The same; answers how often its head moved to another branch, which only a chain that logs `info` says.
    pub fn kill_and_count_reorgs(mut self) -> usize {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.log_text()
            .matches("the head moved to another branch")
            .count()
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let status = self.child.wait();
        if thread::panicking() {
            println!(
                "dev {:?} ended as {status:?}: {}",
                self.arguments,
                self.log_text()
            );
        }
    }
}

/// The lines of a child, as they come.
fn lines_of(stdout: ChildStdout) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines() {
            let Ok(line) = line else { break };
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    lines
}
