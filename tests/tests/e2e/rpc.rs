//! A JSON-RPC client made of a socket and JSON values, so that the surface is tested as it is documented and not as
//! both of its ends happen to be generated.

use std::io::{self, BufReader};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use millrace_types::{Hash, SignedTransaction, codec};
use serde_json::{Value, json};

use crate::http;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pause between two questions about the same thing.
const POLL: Duration = Duration::from_millis(10);

/// Why there is no result.
#[derive(Debug)]
pub enum Failed {
    /// The node is not there, or went away.
    Transport(io::Error),
    /// The node said no.
    Refused(Refusal),
}

/// An error object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its code.
    pub code: i64,
    /// Its stable name; empty when it has none.
    pub name: String,
    /// Its message.
    pub message: String,
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Transport(error)
    }
}

/// A connection to a node.
pub struct Rpc {
    stream: BufReader<TcpStream>,
    next_id: u64,
}

impl Rpc {
    /// Connects to a URL like `http://127.0.0.1:4860`.
    pub fn connect(url: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(url.trim_start_matches("http://"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: BufReader::new(stream),
            next_id: 1,
        })
    }

    /// Calls a method, named without the prefix `millrace_`.
    pub fn try_call(&mut self, method: &str, params: Value) -> Result<Value, Failed> {
        let id = self.next_id;
        self.next_id += 1;
        let request =
            json!({ "jsonrpc": "2.0", "id": id, "method": format!("millrace_{method}"), "params": params });
        let mut answer = self.forward(&request)?;
        assert_eq!(answer["id"], id, "{answer}");
        match answer.get("error") {
            None => Ok(answer["result"].take()),
            Some(error) => Err(Failed::Refused(Refusal {
                code: error["code"].as_i64().unwrap(),
                name: error["data"]["name"].as_str().unwrap_or_default().to_owned(),
                message: error["message"].as_str().unwrap().to_owned(),
            })),
        }
    }

    /// Sends a whole request; the whole answer.
    pub fn forward(&mut self, request: &Value) -> io::Result<Value> {
        http::post(self.stream.get_mut(), request.to_string().as_bytes())?;
        let answer = http::read(&mut self.stream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        assert!(answer.start.contains(" 200 "), "{}", answer.start);
        Ok(serde_json::from_slice(&answer.body)?)
    }

    /// Calls a method that must answer.
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        self.try_call(method, params.clone())
            .unwrap_or_else(|failed| panic!("{method} {params}: {failed:?}"))
    }

    /// Sends a transaction.
    pub fn send(&mut self, transaction: &SignedTransaction) -> Result<Hash, Failed> {
        let hash = self.try_call("sendTransaction", json!([to_hex(&codec::encode(transaction))]))?;
        let hash: Hash = serde_json::from_value(hash).expect("the answer is the hash");
        assert_eq!(hash, transaction.hash());
        Ok(hash)
    }

    /// The next nonce of an account, pooled transactions counted.
    pub fn pending_nonce(&mut self, address: &str) -> Result<u64, Failed> {
        let account = self.try_call("getAccount", json!([address, "pending"]))?;
        Ok(account["nonce"].as_u64().unwrap())
    }

    /// Waits until a transaction is settled; gives its receipt with the proof of its inclusion.
    pub fn settled_receipt(&mut self, transaction: &Hash) -> Value {
        self.wait(&format!("transaction {transaction} to be settled"), |rpc| {
            let status = rpc.call("getTransactionStatus", json!([transaction]));
            (status["status"] == "settled").then_some(())
        });
        self.call("getTransactionReceipt", json!([transaction, true]))
    }

    /// Asks again and again until there is an answer, for a minute.
    pub fn wait<T>(&mut self, what: &str, mut ask: impl FnMut(&mut Self) -> Option<T>) -> T {
        for _ in 0..6_000 {
            if let Some(answer) = ask(self) {
                return answer;
            }
            thread::sleep(POLL);
        }
        panic!(
            "waited a minute for {what}; status {}",
            self.call("status", json!([]))
        );
    }
}

/// Bytes as the RPC writes them.
pub fn to_hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold("0x".to_owned(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}

/// Bytes of a string that the RPC wrote.
pub fn from_hex(text: &Value) -> Vec<u8> {
    let text = text
        .as_str()
        .unwrap_or_else(|| panic!("{text} is no string of hex"));
    millrace_types::hex::parse_bytes(text, usize::MAX).expect("canonical hex")
}
