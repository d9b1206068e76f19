//! The built program as a process: commands that end, and chains that run.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use millrace_tests::program;
use serde_json::Value;

use crate::socket;

/// The program with arguments, and nothing of this environment that it would read.
pub fn millrace(arguments: &[&str]) -> Command {
    let mut command = Command::new(program::millrace());
    command
        .args(arguments)
        .stdin(Stdio::null())
        .env_remove("MILLRACE_LOG")
        .env_remove("MILLRACE_RPC")
        .env_remove("MILLRACE_KEY")
        .env_remove("MILLRACE_GENESIS")
        .env_remove("MILLRACE_RPC__LISTEN");
    command
}

/// Runs a command to its end.
pub fn run(arguments: &[&str]) -> Output {
    millrace(arguments).output().unwrap()
}

/// Runs a command that must succeed; answers what it printed.
pub fn text(arguments: &[&str]) -> String {
    let output = run(arguments);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command that must print one JSON object on one line.
pub fn json(arguments: &[&str]) -> Value {
    let text = text(arguments);
    assert_eq!(text.lines().count(), 1, "{arguments:?}: {text}");
    serde_json::from_str(&text).unwrap()
}

/// A chain that runs. It is killed when the test ends before it does.
pub struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
    /// The line that says where it is.
    pub ready: Value,
}

impl Running {
    /// Starts `millrace dev` with more arguments, and waits until it serves.
    pub fn start(arguments: &[&str]) -> Self {
        let mut command = millrace(&["dev", "--json", "--rpc-listen", "127.0.0.1:0"]);
        command
            .arg("--plugin")
            .arg(program::solo_plugin())
            .args(arguments);
        Self::spawn(&mut command)
    }

    /// Starts `millrace node` with this configuration, and waits until it serves.
    pub fn node(configuration: &Path) -> Self {
        Self::spawn(millrace(&["node", "--json", "--config"]).arg(configuration))
    }

    fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut chain = Self {
            child,
            lines,
            ready: Value::Null,
        };
        chain.ready = chain.line();
        assert_eq!(chain.ready["event"], "ready");
        chain
    }

    /// The next line.
    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        if line.is_empty() {
            let mut errors = String::new();
            self.child
                .stderr
                .take()
                .unwrap()
                .read_to_string(&mut errors)
                .unwrap();
            panic!("the chain ended: {errors}");
        }
        serde_json::from_str(&line).unwrap()
    }

    /// URL of its RPC.
    pub fn url(&self) -> &str {
        self.ready["rpc"].as_str().unwrap()
    }

    /// Address and port of its RPC.
    pub fn address(&self) -> &str {
        self.url().trim_start_matches("http://")
    }

    /// Its page of metrics, once it has executed more than so many transactions.
    pub fn metrics_after(&self, transactions: u64) -> String {
        const NAME: &str = "millrace_transactions_executed_total ";
        for _ in 0..3_000 {
            let page = socket::get(self.address(), "/metrics").body;
            let executed = page.lines().find_map(|line| line.strip_prefix(NAME));
            if executed.is_some_and(|count| count.parse::<u64>().unwrap() > transactions) {
                return page;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("no {transactions} transactions in a minute");
    }

    /// Its finalized height, once that is at least so much.
    pub fn blocks_after(&self, height: u64) -> u64 {
        for _ in 0..3_000 {
            let page = socket::get(self.address(), "/metrics").body;
            let line = page
                .lines()
                .find_map(|line| line.strip_prefix("millrace_finalized_height "));
            let found: f64 = line.unwrap().parse().unwrap();
            if found as u64 >= height {
                return found as u64;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("no height {height} in a minute");
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status();
        assert!(status.unwrap().success());
    }

    /// Waits for the orderly end of a node, which says nothing more.
    pub fn end(mut self) {
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}");
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
    }

    /// Waits for its orderly end; answers its summary.
    pub fn summary(mut self) -> Value {
        let summary = self.line();
        assert_eq!(summary["event"], "summary");
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}");
        summary
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
