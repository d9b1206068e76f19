//! What the tests share: real shared objects, and an engine that records.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "test support: each test uses a part of it"
)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use millrace_plugin_host::{
    BlockBytes, BuildAnswer, BuildRequest, ChainState, Engine, ForkChoice, HeadAnswer, PluginFailure,
    PluginHandle, PluginSpec, PluginStatus, Reply, Submitted, Verdict,
};

/// Builds a workspace member's `cdylib` with the profile of the running test, and finds it. Cargo does nothing if it is
/// up to date; it cannot be a dependency, for dependencies of type `cdylib` are not built for tests.
pub fn cdylib(package: &str) -> PathBuf {
    let deps = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    let profile = match deps.parent().unwrap().file_name().unwrap().to_str().unwrap() {
        "debug" => "dev",
        other => other,
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args([
            "build",
            "--quiet",
            "--message-format=json",
            "--profile",
            profile,
            "-p",
            package,
        ])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "cargo build -p {package}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let messages = String::from_utf8(output.stdout).unwrap();
    let artifact = messages
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|message| message["reason"] == "compiler-artifact")
        .flat_map(|message| message["filenames"].as_array().cloned().unwrap_or_default())
        .filter_map(|name| name.as_str().map(PathBuf::from))
        .find(|path| path.extension().is_some_and(|e| e == "so") && is_of(path, package));
    artifact.unwrap_or_else(|| panic!("{package} has no shared object among its artifacts"))
}

fn is_of(path: &Path, package: &str) -> bool {
    let stem = path.file_stem().unwrap().to_str().unwrap();
    stem == format!("lib{}", package.replace('-', "_"))
}

/// Compiles a shared object from `tests/c/NAME.c`, with definitions.
pub fn c_plugin(folder: &Path, source: &str, definitions: &[&str]) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let distinct: String = definitions
        .concat()
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(60)
        .collect();
    let path = folder.join(format!("{source}-{distinct}.so"));
    let output = Command::new("cc")
        .args([
            "-std=c11", "-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC", "-pthread", "-I",
        ])
        .arg(root.join("../abi/include"))
        .args(definitions.iter().map(|definition| format!("-D{definition}")))
        .arg(root.join("tests/c").join(source).with_extension("c"))
        .arg("-o")
        .arg(&path)
        .output()
        .expect("a C compiler is there as `cc`");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    path
}

pub fn spec(path: &Path) -> PluginSpec {
    PluginSpec {
        path: path.to_owned(),
        pin: None,
        consensus_id: None,
        patience: Duration::from_secs(60),
    }
}

/// The message with which a file is refused.
pub fn refusal(spec: PluginSpec) -> String {
    PluginHandle::load(spec)
        .expect_err("the file is refused")
        .to_string()
}

pub fn chain(config: &str) -> ChainState {
    ChainState {
        chain_id: 7,
        consensus_id: "misbehaving/1".into(),
        config: config.into(),
        finalized_hash: [5; 32],
        finalized_height: 11,
        ..ChainState::default()
    }
}

/// Waits until `condition` holds, for ten seconds at most.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "in ten seconds it never came to this: {what}"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// An engine that records its calls and answers at once, or holds what the test asked it to hold.
#[derive(Default)]
pub struct Recorder {
    pub state: Mutex<Recorded>,
    pub offers_fork_choice: bool,
    pub holds_replies: bool,
}

#[derive(Default)]
pub struct Recorded {
    pub builds: Vec<BuildRequest>,
    pub validated: Vec<Vec<u8>>,
    pub announced: Vec<Vec<u8>>,
    pub submitted: Vec<(Vec<u8>, Vec<u8>)>,
    /// What the plugin wrote to its store, in order.
    pub stored: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    pub failures: Vec<PluginFailure>,
    pub held: Vec<Reply<BuildAnswer>>,
    /// Answers to submissions, first to last; `Accepted` when there is none.
    pub answers: Vec<Submitted>,
    pub calls_of_fork_choice: Vec<String>,
}

impl Recorder {
    pub fn failures(&self) -> Vec<PluginFailure> {
        self.state.lock().unwrap().failures.clone()
    }

    /// What the misbehaving plugin says it was delivered.
    pub fn events(&self) -> Vec<String> {
        let state = self.state.lock().unwrap();
        let of_event = |(key, value): &(Vec<u8>, Option<Vec<u8>>)| {
            (key == b"event").then(|| String::from_utf8(value.clone().unwrap()).unwrap())
        };
        state.stored.iter().filter_map(of_event).collect()
    }

    pub fn wait_for_event(&self, start: &str) -> String {
        let mut found = None;
        eventually(
            &format!("an event `{start}…` among {:?}", self.events()),
            || {
                found = self.events().into_iter().find(|event| event.starts_with(start));
                found.is_some()
            },
        );
        found.unwrap()
    }
}

pub fn block(fill: u8) -> BlockBytes {
    BlockBytes {
        bytes: vec![fill; 1000],
        hash: [fill; 32],
        parent_hash: [5; 32],
        height: 12,
    }
}

impl Engine for Recorder {
    fn request_block(&self, request: BuildRequest, reply: Reply<BuildAnswer>) {
        let mut state = self.state.lock().unwrap();
        state.builds.push(request);
        if self.holds_replies {
            state.held.push(reply);
        } else {
            drop(state);
            reply.complete(BuildAnswer::Built(block(1)));
        }
    }

    fn validate(&self, block: Vec<u8>, reply: Reply<Verdict>) {
        self.state.lock().unwrap().validated.push(block);
        // From another thread, later.
        std::thread::spawn(move || {
            reply.complete(Verdict::Valid {
                hash: [2; 32],
                height: 12,
            })
        });
    }

    fn announce_proposal(&self, block: Vec<u8>) {
        self.state.lock().unwrap().announced.push(block);
    }

    fn submit_finalized(&self, block: Vec<u8>, certificate: Vec<u8>) -> Submitted {
        let mut state = self.state.lock().unwrap();
        state.submitted.push((block, certificate));
        if state.answers.is_empty() {
            Submitted::Accepted
        } else {
            state.answers.remove(0)
        }
    }

    fn kv_get(&self, key: Vec<u8>, reply: Reply<Option<Vec<u8>>>) {
        reply.complete(Some(key.repeat(2)));
    }

    fn kv_put(&self, key: Vec<u8>, value: Option<Vec<u8>>, reply: Reply<Result<(), String>>) {
        self.state.lock().unwrap().stored.push((key, value));
        reply.complete(Ok(()));
    }

    fn plugin_failed(&self, failure: &PluginFailure) {
        self.state.lock().unwrap().failures.push(failure.clone());
    }

    fn fork_choice(&self) -> Option<&dyn ForkChoice> {
        self.offers_fork_choice.then_some(self)
    }
}

impl ForkChoice for Recorder {
    fn max_unfinalized_blocks(&self) -> u32 {
        256
    }

    fn import_block(&self, block: Vec<u8>) -> Submitted {
        self.state
            .lock()
            .unwrap()
            .calls_of_fork_choice
            .push(format!("import {} bytes", block.len()));
        Submitted::Accepted
    }

    fn set_head(&self, hash: [u8; 32], reply: Reply<HeadAnswer>) {
        self.state
            .lock()
            .unwrap()
            .calls_of_fork_choice
            .push(format!("head {}", hash[0]));
        reply.complete(HeadAnswer::Invalid {
            hash: [4; 32],
            reason: "its parent is bad".into(),
        });
    }

    fn finalize(&self, hash: [u8; 32], certificate: Vec<u8>) -> Submitted {
        let call = format!("finalize {} with {} bytes", hash[0], certificate.len());
        self.state.lock().unwrap().calls_of_fork_choice.push(call);
        Submitted::UnknownParent
    }
}

/// Waits until the plugin has failed, and returns the engine's account of it.
pub fn failure(engine: &Arc<Recorder>, handle: &PluginHandle) -> PluginFailure {
    eventually("the plugin failed", || {
        matches!(handle.status(), PluginStatus::Failed(_))
    });
    eventually("the engine was told", || !engine.failures().is_empty());
    let failures = engine.failures();
    assert_eq!(failures.len(), 1, "the engine is told once");
    assert_eq!(handle.status(), PluginStatus::Failed(failures[0].clone()));
    failures[0].clone()
}
