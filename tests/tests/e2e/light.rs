//! `millrace light` against nodes that are processes. What liars can do is tried in `engine/follower`.
//!
//! What the light client prints is held against the node, at the height that the light client itself names.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use millrace_tests::program;
use millrace_types::Address;
use serde_json::{Value, json};

use crate::chain::Chain;
use crate::rpc::{Rpc, from_hex, to_hex};
use crate::wallet::example;

/// Tokens of the deployer at first, and what each transfer moves.
const SUPPLY: u128 = 1_000_000;
const MOVED: u128 = 300;

/// A chain with a token, some history, and questions about it.
pub struct TokenChain {
    /// The chain.
    pub chain: Chain,
    /// The token.
    pub token: Address,
    /// What a light client may be asked, as arguments of `millrace light get`.
    pub questions: Vec<Question>,
}

/// A question and how the honest node answers it.
#[derive(Clone, Debug)]
pub enum Question {
    /// A slot of a contract.
    Storage(Address, Vec<u8>),
    /// An account.
    Account(Address),
    /// A transaction.
    Transaction(String),
}

/// The key under which the token keeps a balance.
pub fn balance_key(owner: &Address) -> Vec<u8> {
    [b"balance/", &owner.0[..]].concat()
}

impl TokenChain {
    /// Deploys the token and makes several transfers, each in a block of its own.
    pub fn start(commitment: &str) -> Self {
        let chain = Chain::start(&[
            "--seed",
            "31",
            "--block-interval-ms",
            "20",
            "--commitment",
            commitment,
        ]);
        let (mut rpc, owner) = (chain.rpc(), chain.wallets[0].clone());
        let init = [&SUPPLY.to_le_bytes()[..], &4_u32.to_le_bytes(), &b"Mill"[..]].concat();
        rpc.send(&owner.deploy(0, example("token"), init)).unwrap();
        let token = Address::of_deploy(&owner.address, 0);
        let mut last = String::new();
        for nonce in 1..=5 {
            let to = chain.wallets[nonce as usize % 3 + 1].address;
            let input = [&[0x01][..], &to.0, &MOVED.to_le_bytes()].concat();
            let hash = rpc.send(&owner.call(nonce, token, input)).unwrap();
            let receipt = rpc.settled_receipt(&hash);
            assert_eq!(receipt["outcome"], "success", "{receipt}");
            last = hash.to_string();
        }
        let stranger = Address([0x5a; 32]);
        let questions = vec![
            Question::Storage(token, balance_key(&chain.wallets[2].address)),
            Question::Storage(token, balance_key(&stranger)),
            Question::Account(owner.address),
            Question::Account(stranger),
            Question::Transaction(last),
        ];
        Self {
            chain,
            token,
            questions,
        }
    }
}

impl Question {
    /// Asks `millrace light`, which asks the node at `url`.
    pub fn ask(&self, url: &str, genesis: &str) -> Output {
        let arguments = match self {
            Self::Storage(contract, key) => vec!["storage".to_owned(), contract.to_string(), to_hex(key)],
            Self::Account(address) => vec!["account".to_owned(), address.to_string()],
            Self::Transaction(hash) => vec!["transaction".to_owned(), hash.clone()],
        };
        light(&["get"], &arguments, url, genesis)
    }

    /// What is true after the block at `height`, in the light client's words.
    fn truth(&self, rpc: &mut Rpc, height: u64) -> Value {
        match self {
            Self::Storage(contract, key) => {
                rpc.call("getStorage", json!([contract, to_hex(key), height]))["value"].take()
            }
            Self::Account(address) => {
                let view = rpc.call("getAccount", json!([address, height]));
                if view["exists"] == false {
                    return Value::Null;
                }
                json!({ "nonce": view["nonce"], "balance": view["balance"], "code_hash": view["code_hash"] })
            }
            Self::Transaction(hash) => {
                let receipt = rpc.call("getTransactionReceipt", json!([hash]));
                assert_eq!(receipt["height"], height);
                json!({
                    "outcome": receipt["outcome"], "index": receipt["index"], "gas_used": receipt["gas_used"],
                    "output": receipt["output"], "logs": receipt["logs"].as_array().unwrap().len(),
                })
            }
        }
    }

    /// An accepted answer must be true where it says that it holds. Answers its value.
    fn judge(&self, rpc: &mut Rpc, output: &Output, why: &str) -> Value {
        let answer: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
        let height = answer["height"].as_u64().unwrap();
        let truth = self.truth(rpc, height);
        assert_eq!(answer["verified"], true, "{why}: {answer}");
        assert_eq!(answer["value"], truth, "{why}: {self:?} was answered by {answer}");
        assert_eq!(answer["present"], !truth.is_null(), "{why}: {answer}");
        let settling = rpc.call("getBlock", json!([answer["settled_by"]]));
        assert_eq!(answer["settling_hash"], settling["hash"], "{why}: {answer}");
        answer["value"].clone()
    }
}

fn light(command: &[&str], arguments: &[String], url: &str, genesis: &str) -> Output {
    Command::new(program::millrace())
        .arg("light")
        .args(command)
        .args(arguments)
        .args(["--json", "--rpc", url, "--genesis", genesis])
        .env_remove("MILLRACE_LOG")
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn proves_everything_of_an_honest_node(commitment: &str) {
    let world = TokenChain::start(commitment);
    let (url, genesis, mut rpc) = (&world.chain.url, &world.chain.genesis, world.chain.rpc());
    let mut values = Vec::new();
    for question in &world.questions {
        let output = question.ask(url, genesis);
        assert!(output.status.success(), "{question:?}: {}", said(&output));
        values.push(question.judge(&mut rpc, &output, "honest"));
    }
    // Transfers 1 and 4 went to the second account after the owner.
    assert_eq!(from_hex(&values[0]), (2 * MOVED).to_le_bytes(), "a balance");
    assert_eq!(values[1], Value::Null, "the absence of a key");
    assert_eq!(values[2]["nonce"], 6);
    assert_eq!(values[3], Value::Null, "the absence of an account");
    assert_eq!(values[4]["outcome"], "success");

    let sync = light(&["sync"], &[], url, genesis);
    let sync: Value = serde_json::from_slice(&sync.stdout).unwrap();
    let newest = rpc.call("getBlock", json!([sync["finalized_height"]]));
    assert_eq!(sync["finalized_hash"], newest["hash"]);
    assert_eq!(sync["executed_height"], newest["header"]["settled_height"]);
}

#[test]
fn a_light_client_proves_balances_and_absences_under_option_b() {
    proves_everything_of_an_honest_node("b");
}

#[test]
fn a_light_client_proves_balances_and_absences_under_option_a() {
    proves_everything_of_an_honest_node("a");
}

#[test]
fn a_node_of_another_chain_is_refused_by_its_genesis() {
    let (ours, other) = (Chain::start(&["--seed", "1"]), Chain::start(&["--seed", "2"]));
    let output = light(&["sync"], &[], &other.url, &ours.genesis);
    assert_eq!(output.status.code(), Some(1));
    let message = said(&output);
    assert!(
        message.contains(&other.genesis) && message.contains(&ours.genesis),
        "{message}"
    );
    assert!(output.stdout.is_empty());
}

/// `millrace light` with whatever arguments.
fn light_with(arguments: &[&str]) -> Output {
    let mut command = Command::new(program::millrace());
    command
        .arg("light")
        .args(arguments)
        .env_remove("MILLRACE_LOG")
        .output()
        .unwrap()
}

/// A chain with this seed that never pauses.
fn load(seed: &str) -> [&str; 8] {
    [
        "--seed",
        seed,
        "--block-interval-ms",
        "10",
        "--load",
        "transfer",
        "--rate",
        "50",
    ]
}

fn wait_for_blocks(chain: &Chain, height: u64) {
    chain.rpc().wait("some blocks", |rpc| {
        let status = rpc.call("status", json!([]));
        (status["heights"]["finalized"].as_u64() > Some(height)).then_some(())
    });
}

fn json_of(output: &Output) -> Value {
    assert!(output.status.success(), "{}", said(output));
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

#[test]
fn several_nodes_are_named_and_those_without_the_chain_are_left() {
    let (ours, other) = (Chain::start(&load("3")), Chain::start(&load("4")));
    wait_for_blocks(&ours, 3);
    let nodes = ["--rpc", &other.url, "--rpc", &ours.url];
    let output = light_with(&[&["sync", "--json", "--genesis", &ours.genesis][..], &nodes[..]].concat());
    let synced = json_of(&output);
    assert_eq!(synced["nodes"][0]["rpc"], json!(other.url));
    assert!(
        synced["nodes"][0]["fault"]
            .as_str()
            .unwrap()
            .contains(&other.genesis),
        "{synced}"
    );
    assert_eq!(synced["nodes"][1]["leads"], true, "{synced}");
    assert!(
        said(&output).contains(&format!("left {}", other.url)),
        "{}",
        said(&output)
    );
    let joined = format!("{},{}", ours.url, other.url);
    let joined = json_of(&light_with(&[
        "sync",
        "--json",
        "--genesis",
        &ours.genesis,
        "--rpc",
        &joined,
    ]));
    assert_eq!(joined["nodes"].as_array().unwrap().len(), 2);
}

#[test]
fn a_checkpoint_is_gone_on_from_and_refused_when_it_is_not_whole() {
    let chain = Chain::start(&load("5"));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("checkpoint");
    let path = file.to_str().unwrap();
    let sync = |more: &[&str]| {
        let arguments = ["sync", "--json", "--genesis", &chain.genesis, "--rpc", &chain.url];
        light_with(&[&arguments[..], &["--checkpoint", path], more].concat())
    };
    let height = |value: &Value| value["finalized_height"].as_u64().unwrap();
    wait_for_blocks(&chain, 10);
    let first = json_of(&sync(&[]));
    let kept = std::fs::read(&file).unwrap();
    let second = json_of(&sync(&[]));
    assert!(height(&second) >= height(&first));
    // The checkpoint counts, not the block that is named beside it for the first time.
    json_of(&sync(&["--trust", &format!("1:0x{}", "ab".repeat(32))]));

    let mut damaged = kept.clone();
    *damaged.last_mut().unwrap() ^= 1;
    std::fs::write(&file, &damaged).unwrap();
    let refused = sync(&[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        said(&refused).contains("damaged") && said(&refused).contains(path),
        "{}",
        said(&refused)
    );
    assert_eq!(std::fs::read(&file).unwrap(), damaged, "it is not written over");

    let finalized = first["finalized_hash"].as_str().unwrap();
    let trusted = format!("{}:{finalized}", height(&first));
    let arguments = [
        "sync",
        "--json",
        "--genesis",
        &chain.genesis,
        "--rpc",
        &chain.url,
        "--trust",
        &trusted,
    ];
    assert!(height(&json_of(&light_with(&arguments))) >= height(&first));
    let wrong = format!("{}:0x{}", height(&first), "ab".repeat(32));
    let arguments = [
        "sync",
        "--genesis",
        &chain.genesis,
        "--rpc",
        &chain.url,
        "--trust",
        &wrong,
    ];
    assert_eq!(light_with(&arguments).status.code(), Some(1));
}

#[test]
fn what_was_verified_is_kept_though_the_question_fails_and_where_it_goes_is_tried_first() {
    let chain = Chain::start(&load("8"));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("checkpoint");
    wait_for_blocks(&chain, 10);
    let nobodys = format!("0x{}", "ab".repeat(32));
    let ask = |path: &Path| {
        let path = path.to_str().unwrap();
        let node = ["--genesis", &chain.genesis, "--rpc", &chain.url];
        light_with(
            &[
                &["get", "transaction", &nobodys, "--checkpoint", path][..],
                &node[..],
            ]
            .concat(),
        )
    };
    let failed = ask(&file);
    assert_eq!(failed.status.code(), Some(1));
    assert!(said(&failed).contains("not settled"), "{}", said(&failed));
    assert!(file.exists(), "the headers were verified all the same");

    let nowhere = directory.path().join("none").join("checkpoint");
    let refused = ask(&nowhere);
    assert_eq!(refused.status.code(), Some(1));
    let message = said(&refused);
    assert!(
        message.contains(nowhere.to_str().unwrap()) && !message.contains("not settled"),
        "{message}"
    );
}

#[test]
fn following_ends_in_order_when_nobody_reads() {
    let chain = Chain::start(&load("9"));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("checkpoint");
    wait_for_blocks(&chain, 3);
    let path = file.to_str().unwrap();
    let node = ["--genesis", &chain.genesis, "--rpc", &chain.url];
    let mut following = Command::new(program::millrace())
        .args(["light", "follow", "--checkpoint", path])
        .args(node)
        .env_remove("MILLRACE_LOG")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    lines.next().unwrap().unwrap();
    drop(lines);
    let ended = following.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{}", said(&ended));
    assert_eq!(
        String::from_utf8_lossy(&ended.stderr),
        "",
        "who read has seen enough"
    );
    assert!(file.exists());
}

#[test]
fn proven_code_is_the_file_that_was_deployed() {
    let world = TokenChain::start("b");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token.elf");
    let (token, path) = (world.token.to_string(), file.to_str().unwrap().to_owned());
    let arguments = ["code", &token, "--out", &path].map(str::to_owned);
    let proven = json_of(&light(
        &["get"],
        &arguments,
        &world.chain.url,
        &world.chain.genesis,
    ));
    let code = example("token");
    assert_eq!(proven["value"]["bytes"], code.len(), "{proven}");
    assert_eq!(std::fs::read(&file).unwrap(), code);
    std::fs::remove_file(&file).unwrap();
    let wallet = world.chain.wallets[0].address.to_string();
    let arguments = ["code", &wallet, "--out", &path].map(str::to_owned);
    let none = json_of(&light(
        &["get"],
        &arguments,
        &world.chain.url,
        &world.chain.genesis,
    ));
    assert_eq!((&none["present"], &none["value"]), (&json!(false), &Value::Null));
    assert!(!file.exists());
}

#[test]
fn two_chains_of_one_sequencer_are_evidence_that_anybody_can_check() {
    let (first, second) = (Chain::start(&load("6")), Chain::start(&load("6")));
    assert_eq!(first.genesis, second.genesis);
    wait_for_blocks(&second, 3);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("evidence.json");
    let path = file.to_str().unwrap();
    // The shorter one first, so that the other is asked for blocks that it has.
    let nodes = ["--rpc", &second.url, "--rpc", &first.url];
    let arguments = ["sync", "--genesis", &first.genesis, "--evidence", path];
    let output = light_with(&[&arguments[..], &nodes[..]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(
        output.stdout.is_empty() && said(&output).contains(path),
        "{}",
        said(&output)
    );

    let genesis = first.genesis.clone();
    drop((first, second));
    let checked = json_of(&light_with(&[
        "evidence",
        "check",
        path,
        "--json",
        "--genesis",
        &genesis,
    ]));
    assert_eq!(checked["contradiction"]["kind"], "blocks", "{checked}");
    let other = format!("0x{}", "00".repeat(32));
    let refused = light_with(&["evidence", "check", path, "--genesis", &other]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains(&genesis), "{}", said(&refused));
}

/// A chain at a fixed port, so that it can be stopped and come back.
fn at_port(port: u16, directory: &Path) -> Chain {
    let (listen, directory) = (format!("127.0.0.1:{port}"), directory.to_str().unwrap());
    let arguments = [
        "--seed",
        "7",
        "--data-dir",
        directory,
        "--block-interval-ms",
        "20",
    ];
    Chain::start(
        &[
            &arguments[..],
            &["--load", "transfer", "--rate", "50", "--rpc-listen", &listen],
        ]
        .concat(),
    )
}

#[test]
fn following_goes_on_over_a_restart_of_the_node() {
    let directory = tempfile::tempdir().unwrap();
    let chain = at_port(0, directory.path());
    let (url, genesis) = (chain.url.clone(), chain.genesis.clone());
    let port: u16 = url.rsplit_once(':').unwrap().1.parse().unwrap();
    wait_for_blocks(&chain, 1);
    let mut following = Command::new(program::millrace())
        .args([
            "light",
            "follow",
            "--json",
            "--poll-ms",
            "20",
            "--rpc",
            &url,
            "--genesis",
            &genesis,
        ])
        .env_remove("MILLRACE_LOG")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    let mut newest = 0;
    while newest < 5 {
        let event = next();
        assert_eq!(event["event"], "heights", "{event}");
        let height = event["finalized_height"].as_u64().unwrap();
        assert!(
            height > newest && event["executed_height"].as_u64() < Some(height),
            "{event}"
        );
        newest = height;
    }
    chain.kill();
    while next()["event"] != "waiting" {}
    let chain = at_port(port, directory.path());
    assert_eq!(chain.url, url);
    while next()["finalized_height"].as_u64() <= Some(newest + 5) {}
    Command::new("kill")
        .args(["-TERM", &following.id().to_string()])
        .status()
        .unwrap();
    assert!(following.wait().unwrap().success(), "a signal ends it in order");
}
