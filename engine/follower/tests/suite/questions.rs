//! What is asked, and what is true.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::net::TcpStream;

use millrace_follower::{FollowError, Follower, Options};
use millrace_light_client::Provenance;
use millrace_rpc::shapes::outcome_name;
use millrace_types::{Address, Hash};
use serde_json::{Value, json};

use crate::http;
use crate::proxy::Exchange;
use crate::sequencer;
use crate::world::{COUNT, World};

/// A question.
#[derive(Clone, Debug)]
pub enum Question {
    /// An account.
    Account(Address),
    /// A slot of the counter.
    Slot(Vec<u8>),
    /// A transaction.
    Transaction(Hash),
    /// A contract's code.
    Code(Address),
}

/// A question with what is true of it at every height, and the blocks of the chain.
pub struct Known {
    /// The question.
    pub question: Question,
    /// Height → value; of a transaction at its own height alone.
    truth: BTreeMap<u64, Value>,
    blocks: Vec<Value>,
}

/// A verified value, and where it holds.
pub type Answer = (Value, Provenance);

/// Asks a node what is not believed by anybody.
pub fn call(url: &str, method: &str, params: &Value) -> Value {
    let stream = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
    let mut stream = BufReader::new(stream);
    let request =
        json!({ "jsonrpc": "2.0", "id": 1, "method": format!("millrace_{method}"), "params": params });
    http::post(stream.get_mut(), request.to_string().as_bytes()).unwrap();
    let answer = http::read(&mut stream).unwrap().unwrap();
    serde_json::from_slice(&answer.body).unwrap()
}

/// The same as an exchange, for what is said in place of something else.
pub fn exchange(url: &str, method: &str, params: Value) -> Exchange {
    Exchange {
        method: method.to_owned(),
        answer: call(url, method, &params),
        params,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold("0x".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

/// One question of each kind, and some whose answer is that there is nothing.
pub fn all(world: &World) -> Vec<Known> {
    let questions = [
        Question::Account(sequencer::address(1)),
        Question::Account(Address([0x5a; 32])),
        Question::Slot(COUNT.to_vec()),
        Question::Slot(b"nothing".to_vec()),
        Question::Transaction(*world.sent.last().unwrap()),
        Question::Code(world.counter),
        Question::Code(sequencer::address(1)),
    ];
    questions
        .into_iter()
        .map(|question| Known::new(world, question))
        .collect()
}

impl Known {
    /// Finds out what is true, from the honest node.
    pub fn new(world: &World, question: Question) -> Self {
        let ask = |method: &str, params: Value| call(&world.url, method, &params)["result"].take();
        let heights = world.chain.engine.heights();
        let blocks = (0..=heights.finalized.height).map(|height| ask("getBlock", json!([height])));
        let settled = heights.settled;
        let truth = match &question {
            Question::Account(address) => (0..=settled)
                .map(|height| {
                    let view = ask("getAccount", json!([address, height]));
                    let account = json!({
                        "nonce": view["nonce"], "balance": view["balance"], "code_hash": view["code_hash"],
                    });
                    (
                        height,
                        if view["exists"] == true {
                            account
                        } else {
                            Value::Null
                        },
                    )
                })
                .collect(),
            Question::Slot(key) => (0..=settled)
                .map(|height| {
                    let slot = ask("getStorage", json!([world.counter, hex(key), height]));
                    (height, slot["value"].clone())
                })
                .collect(),
            Question::Code(contract) => (0..=settled)
                .map(|height| (height, ask("getCode", json!([contract, height]))["code"].take()))
                .collect(),
            Question::Transaction(hash) => {
                let receipt = ask("getTransactionReceipt", json!([hash]));
                let height = receipt["height"].as_u64().unwrap();
                let ended = json!({
                    "outcome": receipt["outcome"], "index": receipt["index"], "gas_used": receipt["gas_used"],
                });
                BTreeMap::from([(height, ended)])
            }
        };
        Self {
            question,
            truth,
            blocks: blocks.collect(),
        }
    }

    /// Asks a follower.
    pub async fn ask(&self, follower: &mut Follower) -> Result<Answer, FollowError> {
        match &self.question {
            Question::Account(address) => follower.account(*address).await.map(|verified| {
                let value = verified.value.map(|account| {
                    let balance = account.balance.to_string();
                    json!({ "nonce": account.nonce, "balance": balance, "code_hash": account.code_hash })
                });
                (json!(value), verified.provenance)
            }),
            Question::Slot(key) => {
                let counter = Address::of_deploy(&sequencer::address(0), 0);
                let verified = follower.storage(counter, key.clone()).await;
                verified.map(|verified| (json!(verified.value.as_deref().map(hex)), verified.provenance))
            }
            Question::Code(contract) => {
                let verified = follower.code(*contract).await;
                verified.map(|verified| (json!(verified.value.as_deref().map(hex)), verified.provenance))
            }
            Question::Transaction(hash) => follower.transaction(*hash).await.map(|verified| {
                let receipt = &verified.value;
                let value = json!({
                    "outcome": outcome_name(receipt), "index": receipt.index, "gas_used": receipt.gas_used,
                });
                (value, verified.provenance)
            }),
        }
    }

    /// Starts a follower that asks these nodes, and asks it.
    pub async fn ask_nodes(
        &self,
        world: &World,
        urls: &[&str],
        options: &Options,
    ) -> Result<Answer, FollowError> {
        let mut follower = world.follower(urls, options).await?;
        self.ask(&mut follower).await
    }

    /// An answer that came out must be true where it says that it holds.
    #[track_caller]
    pub fn judge(&self, (value, from): &Answer, why: &str) {
        let truth = self.truth.get(&from.height);
        assert_eq!(
            Some(value),
            truth,
            "{:?} at height {}: {why}",
            self.question,
            from.height
        );
        let settling = &self.blocks[usize::try_from(from.settled_by).unwrap()];
        assert_eq!(json!(from.settling_hash), settling["hash"], "{why}");
    }

    /// The newest answer there is must come out.
    #[track_caller]
    pub fn judge_newest(&self, answer: &Answer, why: &str) {
        self.judge(answer, why);
        let newest = *self.truth.last_key_value().unwrap().0;
        assert_eq!(answer.1.height, newest, "{why}");
    }
}
