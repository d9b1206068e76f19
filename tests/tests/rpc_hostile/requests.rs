//! Calls and batches, right, nearly right and absurd.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use millrace_rpc::Bytes;
use millrace_rpc::error::ErrorName;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, RngCore as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::contracts;
use crate::sequencer::address;
use crate::{REQUEST_BYTES, Target, post};

const CASES: u64 = 6_000;

/// What the node says that it takes.
struct Method {
    name: String,
    parameters: Vec<String>,
}

pub fn run(target: &Target) {
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "rpc.discover" });
    let (_, answer) = post(&target.address, call.to_string().as_bytes());
    let document: Value = serde_json::from_slice(&answer).unwrap();
    let methods: Vec<Method> = document["result"]["methods"]
        .as_array()
        .unwrap()
        .iter()
        .map(|method| Method {
            name: method["name"].as_str().unwrap().to_owned(),
            parameters: method["params"]
                .as_array()
                .unwrap()
                .iter()
                .map(|parameter| parameter["name"].as_str().unwrap().to_owned())
                .collect(),
        })
        .collect();
    assert!(methods.len() > 15);
    let seen = Mutex::new(BTreeMap::new());
    target.withstands(crate::cases(CASES), |seed| {
        let mut draw = Draw {
            chance: ChaCha8Rng::seed_from_u64(seed),
            target,
            methods: &methods,
        };
        let body = draw.body();
        let (status, answer) = post(&target.address, &body);
        let place = || {
            format!(
                "seed {seed}: {}",
                String::from_utf8_lossy(&body[..body.len().min(400)])
            )
        };
        for (method, outcome) in judge(status, &answer, &place) {
            seen.lock()
                .unwrap()
                .entry(method)
                .or_insert_with(BTreeSet::new)
                .insert(outcome);
        }
    });
    // The requests were no mere noise: results and refusals of many kinds came of them.
    let seen = seen.into_inner().unwrap();
    let outcomes: BTreeSet<&str> = seen.values().flatten().map(String::as_str).collect();
    for expected in [
        "result",
        "ParseError",
        "InvalidRequest",
        "MethodNotFound",
        "InvalidParams",
        "UnknownBlock",
        "NotExecuted",
        "LimitExceeded",
        "Malformed",
    ] {
        assert!(
            outcomes.contains(expected),
            "no request came to {expected}: {outcomes:?}"
        );
    }
}

/// Checks one HTTP answer, and sorts out what is in it.
fn judge(status: u16, answer: &[u8], place: &dyn Fn() -> String) -> Vec<(u16, String)> {
    assert!(matches!(status, 200 | 400 | 413), "{status} for {}", place());
    if answer.is_empty() {
        // Nothing but notifications.
        return Vec::new();
    }
    let answer: Value = serde_json::from_slice(answer).unwrap_or_else(|fault| panic!("{fault}: {}", place()));
    let answers = match answer {
        // An `id` that can be none makes a notification of a call, which is not answered.
        Value::Null => return Vec::new(),
        Value::Array(list) => list,
        one => vec![one],
    };
    let outcome = |answer: &Value| {
        if answer.get("result").is_some() {
            return "result".to_owned();
        }
        let (code, name) = (&answer["error"]["code"], &answer["error"]["data"]["name"]);
        let name = name.as_str().unwrap_or_else(|| panic!("{answer}: {}", place()));
        let known = ErrorName::ALL.iter().find(|known| known.as_str() == name);
        assert_eq!(
            known.map(|known| known.code()),
            code.as_i64().map(|code| code as i32)
        );
        assert_ne!(name, "Internal", "{answer}: {}", place());
        name.to_owned()
    };
    answers.iter().map(|answer| (status, outcome(answer))).collect()
}

struct Draw<'a> {
    chance: ChaCha8Rng,
    target: &'a Target,
    methods: &'a [Method],
}

impl Draw<'_> {
    fn one_in(&mut self, many: u32) -> bool {
        self.chance.random_ratio(1, many)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.chance.random_range(0..bound)
    }

    fn one_of<T: Clone>(&mut self, list: &[T]) -> T {
        list.choose(&mut self.chance).unwrap().clone()
    }

    /// A request, as bytes.
    fn body(&mut self) -> Vec<u8> {
        let mut body = match self.below(12) {
            0 => {
                let many = self.below(70);
                let calls: Vec<String> = (0..many).map(|_| self.call()).collect();
                format!("[{}]", calls.join(",")).into_bytes()
            }
            1 => self.value(0).into_bytes(),
            2 => self.noise(300),
            _ => self.call().into_bytes(),
        };
        if self.one_in(4) {
            self.change(&mut body);
        }
        body
    }

    /// A call, as text: its fields may be wrong, twice, missing.
    fn call(&mut self) -> String {
        let method = self.below(self.methods.len());
        let Method { name, parameters } = &self.methods[method];
        let params = match self.below(10) {
            0 => self.value(0),
            1..=5 => {
                let many = (parameters.len() + 1).saturating_sub(self.below(3));
                let values: Vec<String> = (0..many)
                    .map(|at| self.parameter(parameters.get(at).map_or("", String::as_str)))
                    .collect();
                format!("[{}]", values.join(","))
            }
            _ => {
                let mut fields = Vec::new();
                for name in parameters {
                    if self.one_in(8) {
                        continue;
                    }
                    for _ in 0..=u32::from(self.one_in(12)) {
                        fields.push(format!("{}:{}", json!(name), self.parameter(name)));
                    }
                }
                if self.one_in(10) {
                    fields.push(format!("{}:{}", self.text(), self.value(0)));
                }
                format!("{{{}}}", fields.join(","))
            }
        };
        let name = if self.one_in(20) {
            self.text()
        } else {
            json!(name).to_string()
        };
        let id = if self.one_in(10) {
            self.value(0)
        } else {
            "1".to_owned()
        };
        let version = if self.one_in(30) {
            self.value(0)
        } else {
            "\"2.0\"".to_owned()
        };
        let mut fields = vec![
            format!("\"jsonrpc\":{version}"),
            format!("\"id\":{id}"),
            format!("\"method\":{name}"),
            format!("\"params\":{params}"),
        ];
        if self.one_in(20) {
            let at = self.below(fields.len());
            fields.remove(at);
        }
        if self.one_in(20) {
            let again = self.one_of(&fields);
            fields.push(again);
        }
        format!("{{{}}}", fields.join(","))
    }

    /// A value for a parameter of that name: mostly of the right kind.
    fn parameter(&mut self, name: &str) -> String {
        if self.one_in(4) {
            return self.value(0);
        }
        let (contract, transaction) = (self.target.contract, self.target.transaction);
        match name {
            "hash" => self
                .one_of(&[json!(transaction), json!("0xab"), json!(contract)])
                .to_string(),
            "address" | "contract" => self
                .one_of(&[json!(contract), json!(address(1)), json!("0x")])
                .to_string(),
            "proof" => self.one_of(&["true", "false", "null"]).to_owned(),
            "first" | "height" | "count" => self.number(),
            "key" => self
                .one_of(&[json!("0x"), json!(Bytes(contracts::COUNT.to_vec()))])
                .to_string(),
            "request" => self.request(),
            "transaction" => {
                let nonce = u64::from(self.chance.next_u32());
                let mut bytes = Bytes::of(&contracts::transfer(5, nonce % 80, address(1), 1)).0;
                for _ in 0..self.below(3) {
                    let at = self.below(bytes.len());
                    bytes[at] ^= 1 << self.below(8);
                }
                bytes.truncate(bytes.len() - self.below(2));
                json!(Bytes(bytes)).to_string()
            }
            "topic" => self.one_of(&["\"head\"", "\"executed\"", "\"logs\""]).to_owned(),
            "transactions" => self.one_of(&["\"full\"", "\"hashes\"", "null"]).to_owned(),
            _ => self.reference(),
        }
    }

    fn reference(&mut self) -> String {
        match self.below(8) {
            0 => self.number(),
            1 => json!(self.target.transaction).to_string(),
            2 => "\"earliest\"".to_owned(),
            _ => {
                let tags = ["finalized", "executed", "latest", "settled", "safe", "pending"];
                json!(self.one_of(&tags)).to_string()
            }
        }
    }

    fn request(&mut self) -> String {
        let contract = self.target.contract;
        let input = self.noise(12);
        let fields = [
            format!("\"to\":{}", json!(contract)),
            format!("\"input\":{}", json!(Bytes(input))),
            format!("\"gas_limit\":{}", self.number()),
            format!("\"value\":{}", json!(self.number())),
            format!("\"from\":{}", self.value(0)),
        ];
        let many = self.below(fields.len()) + 1;
        format!("{{{}}}", fields[..many].join(","))
    }

    fn number(&mut self) -> String {
        let numbers = [
            "0",
            "1",
            "2",
            "256",
            "257",
            "-1",
            "-0",
            "1.5",
            "1e3",
            "1e400",
            "1e-400",
            "9007199254740993",
            "9223372036854775808",
            "18446744073709551615",
            "18446744073709551616",
            "340282366920938463463374607431768211456",
            "0x7",
            "00",
            "1e999999999999",
        ];
        match self.below(3) {
            0 => self.one_of(&numbers).to_owned(),
            1 => "7".repeat(1 + self.below(400)),
            _ => self.below(4).to_string(),
        }
    }

    /// Any value, some of them deep, long or broken.
    fn value(&mut self, depth: usize) -> String {
        match self.below(if depth > 6 { 8 } else { 12 }) {
            0 => "null".to_owned(),
            1 => self.one_of(&["true", "false"]).to_owned(),
            2..=3 => self.number(),
            4..=6 => self.text(),
            7 => {
                let depth = self.one_of(&[3, 100, 127, 128, 129, 5_000, 200_000]);
                let (open, shut) = self.one_of(&[("[", "]"), ("{\"a\":", "}")]);
                let inner = if open == "[" { "" } else { "0" };
                format!("{}{inner}{}", open.repeat(depth), shut.repeat(depth))
            }
            8..=9 => {
                let many = self.below(4);
                let values: Vec<String> = (0..many).map(|_| self.value(depth + 1)).collect();
                format!("[{}]", values.join(","))
            }
            _ => {
                let many = self.below(4);
                let fields: Vec<String> = (0..many)
                    .map(|_| format!("{}:{}", self.text(), self.value(depth + 1)))
                    .collect();
                format!("{{{}}}", fields.join(","))
            }
        }
    }

    /// A string in quotes.
    fn text(&mut self) -> String {
        match self.below(8) {
            0 => format!(
                "\"{}\"",
                "a".repeat(self.one_of(&[100, 10_000, REQUEST_BYTES as usize / 2, REQUEST_BYTES as usize]))
            ),
            1 => "\"\\ud800\"".to_owned(),
            2 => "\"\\u0000\\u202e\"".to_owned(),
            3 => format!("\"0x{}\"", "g".repeat(64)),
            4 => format!("\"0x{}\"", "0".repeat(self.below(200))),
            5 => "\"\\x\"".to_owned(),
            6 => json!("ü\u{1f980}'\"\\").to_string(),
            _ => "\"\"".to_owned(),
        }
    }

    fn noise(&mut self, most: usize) -> Vec<u8> {
        let mut bytes = vec![0; self.below(most)];
        self.chance.fill_bytes(&mut bytes);
        bytes
    }

    /// Changes what was made, so that it may be no JSON or no UTF-8 any more.
    fn change(&mut self, body: &mut Vec<u8>) {
        for _ in 0..=self.below(3) {
            let at = self.below(body.len() + 1);
            match self.below(5) {
                0 => body.truncate(at),
                1 => {
                    let bytes = self.one_of(&[
                        &b"\xff\xfe"[..],
                        b"\xc3",
                        b"\0",
                        b"\"",
                        b"{",
                        b"]",
                        b"\xed\xa0\x80",
                    ]);
                    body.splice(at..at, bytes.iter().copied());
                }
                2 if at < body.len() => body[at] ^= 1 << self.below(8),
                3 if at < body.len() => {
                    body.remove(at);
                }
                _ => {
                    let until = (at + self.below(40)).min(body.len());
                    let again = body[at..until].to_vec();
                    body.splice(at..at, again);
                }
            }
        }
    }
}
