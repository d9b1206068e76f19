//! `millrace light` against an honest node and against one that lies.
//!
//! What the light client prints is held against the honest node, at the height that the light client itself names: a
//! node may keep new blocks back, so an older height is an honest answer; another value is not.

use std::collections::BTreeMap;
use std::process::{Command, Output};

use millrace_tests::program;
use millrace_types::Address;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::chain::Chain;
use crate::liar::{Exchange, Liar, Lie};
use crate::lies;
use crate::rpc::{Rpc, from_hex, to_hex};
use crate::wallet::example;
use crate::{is_long, seed};

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

/// Honest answers to questions that were not asked: another height, contract, key, account, transaction, chain.
struct Replays(BTreeMap<String, Vec<Value>>);

impl Replays {
    fn gather(world: &TokenChain, other: &Chain) -> Self {
        let (mut rpc, wallets) = (world.chain.rpc(), &world.chain.wallets);
        let settled = rpc.call("status", json!([]))["heights"]["settled"]
            .as_u64()
            .unwrap();
        let token = world.token;
        let hashes: Vec<Value> = (1..=settled)
            .flat_map(|height| {
                let block = rpc.call("getBlock", json!([height]));
                block["transactions"].as_array().unwrap().clone()
            })
            .collect();
        let mut questions = Vec::new();
        for height in 0..=settled {
            questions.push(("getHeaders", json!([height, 256])));
            questions.push(("getHeaders", json!([height, 1])));
            questions.push(("getSettlement", json!([height])));
            for wallet in &wallets[..3] {
                let key = to_hex(&balance_key(&wallet.address));
                questions.push(("getStorage", json!([token, key, height, true])));
                questions.push(("getStorage", json!([wallet.address, key, height, true])));
                questions.push(("getAccount", json!([wallet.address, height, true])));
            }
            questions.push((
                "getStorage",
                json!([token, to_hex(b"total_supply"), height, true]),
            ));
            questions.push(("getAccount", json!([token, height, true])));
            questions.push(("getAccount", json!([Address::default(), height, true])));
        }
        for hash in &hashes {
            questions.push(("getTransactionReceipt", json!([hash, true])));
            questions.push(("getTransactionReceipt", json!([hash, false])));
            questions.push(("getTransactionStatus", json!([hash])));
        }
        let mut all: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for (method, params) in questions {
            let answer = rpc.call(method, params);
            all.entry(format!("millrace_{method}")).or_default().push(answer);
        }
        let foreign = other.rpc().call("chainSpec", json!([]));
        all.insert("millrace_chainSpec".to_owned(), vec![foreign]);
        Self(all)
    }
}

/// One lie about the exchange at `place`, drawn by seed; `told` gets its description.
fn draw_lie(
    place: usize,
    replays: &Replays,
    random: &mut ChaCha8Rng,
) -> (Lie, std::sync::mpsc::Receiver<String>) {
    let (sender, told) = std::sync::mpsc::channel();
    let mut own = ChaCha8Rng::seed_from_u64(random.random());
    let kind = random.random_range(0..10);
    let replays = replays.0.clone();
    let lie: Lie = Box::new(move |at, exchange: &Exchange, _| {
        if at != place {
            return None;
        }
        let mut answer = exchange.answer.clone();
        let (what, bytes) = match kind {
            0 => {
                let mut text = answer.to_string();
                text.truncate(own.random_range(0..text.len()));
                ("a cut message".to_owned(), text.into_bytes())
            }
            1 => {
                let error =
                    json!({ "code": -32603, "message": "this node failed", "data": { "name": "Internal" } });
                let answer = json!({ "jsonrpc": "2.0", "id": answer["id"], "error": error });
                ("an error".to_owned(), answer.to_string().into_bytes())
            }
            2..=4 => {
                let replay = replays.get(&exchange.method)?.choose(&mut own)?;
                answer["result"] = replay.clone();
                (format!("replayed: {replay}"), answer.to_string().into_bytes())
            }
            _ => {
                let what = lies::change(&mut answer["result"], &mut own);
                (what, answer.to_string().into_bytes())
            }
        };
        // Nobody may be listening any more when the client asks again.
        let _ = sender.send(format!("{} {}: {what}", exchange.method, exchange.params));
        Some(bytes)
    });
    (lie, told)
}

fn never_believes_a_lie(commitment: &str) {
    let rounds = if is_long() { 400 } else { 24 };
    let mut random = ChaCha8Rng::seed_from_u64(seed(&format!("lies, option {commitment}")));
    let world = TokenChain::start(commitment);
    let other = Chain::start(&["--seed", "32", "--commitment", commitment]);
    let replays = Replays::gather(&world, &other);
    let (genesis, mut rpc) = (&world.chain.genesis, world.chain.rpc());
    let liar = Liar::new(&world.chain.url);
    let (mut refused, mut told_lies) = (0, 0);
    for question in &world.questions {
        liar.be_honest();
        let honest = question.ask(&liar.url, genesis);
        assert!(honest.status.success(), "{question:?}: {}", said(&honest));
        let exchanges = liar.exchanges().len();
        for _ in 0..rounds {
            let (lie, told) = draw_lie(random.random_range(0..exchanges), &replays, &mut random);
            liar.tell(lie);
            let output = question.ask(&liar.url, genesis);
            let told: Vec<String> = told.try_iter().collect();
            told_lies += told.len();
            if output.status.success() {
                question.judge(&mut rpc, &output, &format!("{told:?}"));
                continue;
            }
            assert_eq!(
                output.status.code(),
                Some(1),
                "an error, not a crash, after {told:?}: {}",
                said(&output)
            );
            assert!(output.stdout.is_empty(), "nothing is shown after {told:?}");
            refused += 1;
        }
        liar.be_honest();
        let honest_again = question.ask(&liar.url, genesis);
        assert!(honest_again.status.success(), "{}", said(&honest_again));
        question.judge(&mut rpc, &honest_again, "honest again");
    }
    println!("option {commitment}: {told_lies} lies, {refused} answers refused, none believed");
    assert!(refused * 2 > told_lies, "most lies show");
}

#[test]
fn a_light_client_never_believes_a_lying_node_under_option_b() {
    never_believes_a_lie("b");
}

#[test]
fn a_light_client_never_believes_a_lying_node_under_option_a() {
    never_believes_a_lie("a");
}
