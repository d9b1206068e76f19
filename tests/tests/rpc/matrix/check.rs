//! One cell against a node: the question, and whether the answer is what the cell says, number by number.

use millrace_proof::verify_value;
use millrace_rpc::Bytes;
use millrace_types::block::Header;
use millrace_types::merkle::{InclusionProof, verify_receipt};
use millrace_types::state::{Account, Path, account_path, code_hash, code_path, storage_path};
use millrace_types::{Address, ExecutionReceipt, Hash, SignedTransaction, TransactionReceipt, codec};
use serde_json::{Value, json};

use super::table::{Ask, Cell, Place, Reference, Which};
use super::world::{CALLER, EARLY, Held, Name, PAYER, SINK, Situation, World, pooled};
use crate::contracts::{COUNT, COUNTER, GET, INCREMENT};
use crate::sequencer::{BALANCE, address};
use crate::socket;

/// A situation with a node in it.
pub struct Asked<'a> {
    pub world: &'a World,
    pub situation: &'a Situation,
    pub node: Held,
}

impl Asked<'_> {
    /// What the node answers: the result, or the error.
    pub fn ask(&self, method: &str, params: &Value) -> Result<Value, Value> {
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let answer = socket::post(&self.node.address, &call.to_string());
        let answer: Value = serde_json::from_str(&answer.body).unwrap();
        match answer.get("result") {
            Some(result) => Ok(result.clone()),
            None => Err(answer["error"].clone()),
        }
    }

    fn result(&self, method: &str, params: &Value) -> Value {
        self.ask(method, params)
            .unwrap_or_else(|error| panic!("{method} {params}: {error}"))
    }

    /// The reference as it is sent.
    pub fn reference(&self, reference: Reference) -> Value {
        match reference {
            Reference::LeftOut => Value::Null,
            Reference::Tag(tag) => json!(tag),
            Reference::Height(height) => json!(height),
            Reference::Hash(name) => json!(self.world.hash(name)),
            Reference::UnknownHash => json!(Hash([0xee; 32])),
        }
    }

    /// The heights that `millrace_status` tells, and the blocks that the tags name.
    pub fn check_heights(&self) {
        let status = self.result("millrace_status", &json!([]));
        for (tag, name) in super::HEIGHTS.iter().zip(self.situation.heights) {
            let (heights, height) = (&status["heights"], self.world.height(name));
            assert_eq!(heights[*tag], height, "{tag} when {}", self.situation.title);
        }
        let [finalized, _, settled, ..] = self.situation.heights.map(|name| self.world.height(name));
        assert_eq!(status["lag"], finalized - settled);
    }

    /// One cell of a group.
    pub fn check(&self, ask: Ask, reference: Reference, cell: Cell) {
        let at = self.reference(reference);
        let counter = json!(self.world.counter);
        let key = json!(Bytes(COUNT.to_vec()));
        let params = match ask {
            Ask::Block => json!({ "block": at }),
            Ask::BlockInFull => json!({ "block": at, "transactions": "full" }),
            Ask::Receipt => json!({ "block": at }),
            Ask::Account => json!({ "address": SINK, "block": at }),
            Ask::ProvenAccount => json!({ "address": SINK, "block": at, "proof": true }),
            Ask::PendingAccount => json!({ "address": address(PAYER), "block": at }),
            Ask::Storage => json!({ "contract": counter, "key": key, "block": at }),
            Ask::ProvenStorage => json!({ "contract": counter, "key": key, "block": at, "proof": true }),
            Ask::Code => json!({ "contract": counter, "block": at }),
            Ask::ProvenCode => json!({ "contract": counter, "block": at, "proof": true }),
            Ask::State | Ask::ProvenState => {
                let paths = self.paths().map(Hash);
                json!({ "paths": paths, "block": at, "proof": matches!(ask, Ask::ProvenState) })
            }
            Ask::Call => {
                let request = json!({ "to": counter, "input": Bytes(GET.to_vec()) });
                json!({ "request": request, "block": at })
            }
            Ask::Estimate => {
                let input = Bytes(INCREMENT.to_vec());
                let request =
                    json!({ "kind": "call", "to": counter, "input": input, "from": address(CALLER) });
                json!({ "request": request, "block": at })
            }
            // With the references as they stand in a filter.
            Ask::Logs => json!({ "block": at }),
            Ask::LogsUpTo => json!({ "from": 0, "to": at }),
        };
        // A reference that is left out is no name at all.
        let params = match (reference, params) {
            (Reference::LeftOut, Value::Object(mut given)) => {
                given.retain(|name, _| name != "block" && name != "to");
                Value::Object(given)
            }
            (_, params) => params,
        };
        let params = match ask {
            Ask::Logs | Ask::LogsUpTo => json!({ "filter": params }),
            _ => params,
        };
        let answer = self.ask(ask.method(), &params);
        let place = format!(
            "{}{} of {reference:?} when {}: {cell:?}, and it is {answer:?}",
            ask.method(),
            ask.with(),
            self.situation.title
        );
        let is_so = match cell {
            Cell::Block(name) => answer.is_ok_and(|answer| self.is_of(ask, name, &answer)),
            Cell::Null => answer == Ok(Value::Null),
            Cell::Nonce(nonce) => answer.is_ok_and(|answer| {
                let unknown = ["origin", "exists", "balance", "code_hash", "proof"];
                answer["nonce"] == nonce && unknown.iter().all(|field| answer[field].is_null())
            }),
            Cell::NotExecuted { asked, executed } => is_error(
                answer,
                -32001,
                &json!({ "name": "NotExecuted", "asked": asked, "executed": executed }),
            ),
            Cell::Pruned { asked } => answer.is_err_and(|error| {
                let oldest = error["data"]["oldest"].as_u64();
                let data = json!({ "name": "Pruned", "asked": asked, "oldest": oldest });
                oldest.is_some() && is_error(Err(error), -32002, &data)
            }),
            Cell::NotCanonical { lost, shared } => {
                let of = |name: Name| json!({ "height": self.world.height(name), "block_hash": self.world.hash(name) });
                let data = json!({
                    "name": "NotCanonical",
                    "height": self.world.height(lost),
                    "block_hash": self.world.hash(lost),
                    "shared": of(shared),
                    "finalized": self.world.height(self.situation.heights[0]),
                });
                is_error(answer, -32004, &data)
            }
            Cell::UnknownBlock => is_error(answer, -32003, &json!({ "name": "UnknownBlock", "asked": at })),
        };
        assert!(is_so, "{place}");
    }

    fn is_of(&self, ask: Ask, name: Name, answer: &Value) -> bool {
        match ask {
            Ask::Block | Ask::BlockInFull => self.is_block(name, answer, matches!(ask, Ask::BlockInFull)),
            Ask::Receipt => self.is_receipt(name, answer),
            Ask::Logs => self.is_logs(&[name], answer),
            Ask::LogsUpTo => {
                let mut names = vec![name];
                while let Some(last) = names.last().filter(|last| **last != "genesis") {
                    names.push(self.world.parent(last));
                }
                names.reverse();
                self.is_logs(&names, answer)
            }
            Ask::PendingAccount => false,
            _ => self.is_state(ask, name, answer),
        }
    }

    fn is_block(&self, name: Name, answer: &Value, in_full: bool) -> bool {
        let block = &self.world.known(name).block;
        let transactions = block.body.transactions.iter();
        let expected: Vec<Value> = transactions.map(|signed| json!(signed.hash())).collect();
        let shown: Vec<Value> = match answer["transactions"].as_array() {
            Some(list) if in_full => list.iter().map(|each| each["hash"].clone()).collect(),
            Some(list) => list.clone(),
            None => return false,
        };
        let receipts = answer["receipts"].as_array().unwrap();
        let carried = block.body.receipts.iter();
        answer["hash"] == json!(block.hash())
            && answer["header"]["height"] == block.header.height
            && answer["header"]["settled_height"] == block.header.settled_height
            && answer["finalized"] == self.situation.is_finalized(self.world, name)
            && answer["executed"] == self.situation.is_executed(name)
            && shown == expected
            && receipts.len() == block.body.receipts.len()
            && receipts
                .iter()
                .zip(carried)
                .all(|(shown, carried)| self.shows(carried, shown))
    }

    /// The fields of a receipt, and what became of it.
    fn shows(&self, receipt: &ExecutionReceipt, answer: &Value) -> bool {
        answer["height"] == receipt.height
            && answer["block_hash"] == json!(receipt.block_hash)
            && answer["status"] == "executed"
            && answer["post_state_root"] == json!(receipt.post_state_root)
            && answer["transaction_receipts_root"] == json!(receipt.transaction_receipts_root)
            && answer["gas_used"] == receipt.gas_used
            && answer["gas_charged"] == receipt.gas_charged
    }

    fn is_receipt(&self, name: Name, answer: &Value) -> bool {
        let canonical = !self.situation.lost.contains(&name);
        let settled_by = if canonical {
            self.settled_by(name)
        } else {
            Value::Null
        };
        self.shows(&self.world.known(name).receipt, answer)
            && answer["canonical"] == canonical
            && answer["settled_by"] == settled_by
    }

    /// The logs of these blocks, in order, and nothing left.
    fn is_logs(&self, names: &[Name], answer: &Value) -> bool {
        let mut expected = Vec::new();
        for name in names {
            for receipt in &self.world.known(name).receipts {
                for (index, log) in receipt.logs.iter().enumerate() {
                    expected.push(json!({
                        "contract": log.address,
                        "topics": log.topics,
                        "data": Bytes(log.data.clone()),
                        "height": self.world.height(name),
                        "block_hash": self.world.hash(name),
                        "transaction_hash": receipt.transaction_hash,
                        "transaction_index": receipt.index,
                        "log_index": index,
                        "finalized": self.situation.is_finalized(self.world, name),
                        "settled_by": self.settled_by(name),
                    }));
                }
            }
        }
        let last = names[names.len() - 1];
        let looked = json!({ "height": self.world.height(last), "block_hash": self.world.hash(last) });
        // The counter tells of every increment.
        let increments = names.iter().filter(|name| self.world.increments(name)).count();
        expected.len() == increments && *answer == json!({ "logs": expected, "looked": looked, "next": null })
    }

    /// One more increment: what it would come to, and the gas that it took where the next block has it.
    fn is_estimate(&self, name: Name, answer: &Value) -> bool {
        let Some(count) = self.world.values(name).count else {
            return answer["outcome"] == "no_code" && answer["gas_limit"].is_null();
        };
        let needed = answer["gas_limit"].as_u64();
        let used = answer["gas_used"].as_u64().unwrap();
        let took = self
            .world
            .next_increment(name)
            .map_or(used, |receipt| receipt.gas_used);
        answer["outcome"] == "success"
            && answer["output"] == json!(Bytes((count + 1).to_le_bytes().to_vec()))
            && answer["exact"] == true
            && used == took
            && needed.is_some_and(|needed| needed >= used)
    }

    /// The height of the finalized block that settles a canonical one, by the headers alone.
    fn settled_by(&self, name: Name) -> Value {
        let height = self.world.height(name);
        let mut by = Value::Null;
        let mut at = self.situation.heights[0];
        while self.world.known(at).block.header.settled_height >= height && at != "genesis" {
            by = json!(self.world.height(at));
            at = self.world.parent(at);
        }
        by
    }

    fn is_state(&self, ask: Ask, name: Name, answer: &Value) -> bool {
        let (known, values) = (self.world.known(name), self.world.values(name));
        let root = known.receipt.post_state_root;
        let origin = json!({
            "height": known.block.header.height,
            "block_hash": known.block.hash(),
            "state_root": root,
        });
        let proven = |path: &Path, value: Option<&[u8]>, proof: &Value| {
            let proof: Bytes = serde_json::from_value(proof.clone()).unwrap();
            verify_value(&root.0, path, value, &proof.decode().unwrap()).is_ok()
        };
        let count = values.count.map(u64::to_le_bytes);
        let code = values.count.map(|_| COUNTER);
        let is_so = match ask {
            Ask::Account | Ask::ProvenAccount => {
                let exists = values.paid > 0;
                let record = codec::encode(&Account {
                    nonce: 0,
                    balance: values.paid,
                    code_hash: None,
                });
                let is_proven = matches!(ask, Ask::Account)
                    || proven(
                        &account_path(&SINK),
                        exists.then_some(&record[..]),
                        &answer["proof"],
                    );
                answer["exists"] == exists
                    && answer["nonce"] == 0
                    && answer["balance"] == values.paid.to_string()
                    && is_proven
            }
            Ask::Storage | Ask::ProvenStorage => {
                let path = storage_path(&self.world.counter, COUNT);
                let count = count.as_ref().map(<[u8; 8]>::as_slice);
                let shown = json!(count.map(|bytes| Bytes(bytes.to_vec())));
                let is_proven = matches!(ask, Ask::Storage) || proven(&path, count, &answer["proof"]);
                answer["value"] == shown && is_proven
            }
            Ask::Code | Ask::ProvenCode => {
                let hash = code.map(code_hash);
                let is_proven = match (ask, hash) {
                    (Ask::ProvenCode, Some(hash)) => proven(&code_path(&hash), code, &answer["code_proof"]),
                    (Ask::ProvenCode, None) => {
                        proven(&account_path(&self.world.counter), None, &answer["account_proof"])
                    }
                    _ => true,
                };
                answer["code_hash"] == json!(hash)
                    && answer["code"] == json!(code.map(|code| Bytes(code.to_vec())))
                    && is_proven
            }
            Ask::State | Ask::ProvenState => {
                let record = (values.paid > 0).then(|| {
                    codec::encode(&Account {
                        nonce: 0,
                        balance: values.paid,
                        code_hash: None,
                    })
                });
                let expected = [record.as_deref(), count.as_ref().map(<[u8; 8]>::as_slice), code];
                let shown = answer["values"].as_array().unwrap();
                let each = shown.iter().zip(self.paths()).zip(expected);
                shown.len() == expected.len()
                    && each.into_iter().all(|((shown, path), value)| {
                        let is_proven = match ask {
                            Ask::ProvenState => proven(&path, value, &shown["proof"]),
                            _ => shown["proof"].is_null(),
                        };
                        shown["path"] == json!(Hash(path))
                            && shown["value"] == json!(value.map(|bytes| Bytes(bytes.to_vec())))
                            && is_proven
                    })
            }
            Ask::Call => match count {
                Some(count) => {
                    answer["outcome"] == "success" && answer["output"] == json!(Bytes(count.to_vec()))
                }
                None => answer["outcome"] == "no_code",
            },
            Ask::Estimate => self.is_estimate(name, answer),
            Ask::Block
            | Ask::BlockInFull
            | Ask::Receipt
            | Ask::PendingAccount
            | Ask::Logs
            | Ask::LogsUpTo => false,
        };
        answer["origin"] == origin && is_so
    }

    /// Where the account that is paid, the counter's storage and its code lie.
    fn paths(&self) -> [Path; 3] {
        [
            account_path(&SINK),
            storage_path(&self.world.counter, COUNT),
            code_path(&code_hash(COUNTER)),
        ]
    }

    /// One row of the transactions.
    pub fn check_transaction(&self, which: Which, (place, stored): (Place, Option<Name>)) {
        let hash = match which {
            Which::Payment(name) => self.world.transaction(name, PAYER).1.hash(),
            Which::Increment(name) => self.world.transaction(name, CALLER).1.hash(),
            Which::PooledPayment => pooled()[0].hash(),
            Which::Early => pooled()[1].hash(),
            Which::None => Hash([0xdd; 32]),
        };
        let row = format!("{which:?} when {}", self.situation.title);
        let status = self.result("millrace_getTransactionStatus", &json!([hash]));
        assert_eq!(status, self.status(which, place), "status of {row}");
        let located = self.result("millrace_getTransaction", &json!([hash]));
        match stored {
            None => assert!(located.is_null(), "{row}: {located}"),
            Some(name) => {
                let (index, signed) = self.within(which, name);
                assert_eq!(located["transaction"]["hash"], json!(signed.hash()), "{row}");
                assert_eq!(located["block_hash"], json!(self.world.hash(name)), "{row}");
                assert_eq!(located["height"], self.world.height(name), "{row}");
                assert_eq!(located["index"], index, "{row}");
                assert_eq!(
                    located["canonical"],
                    !self.situation.lost.contains(&name),
                    "{row}"
                );
            }
        }
        let receipt = self.result("millrace_getTransactionReceipt", &json!([hash, true]));
        match place {
            Place::Executed(name) | Place::Settled(name, _) => {
                self.check_receipt(which, name, &receipt, &row)
            }
            _ => assert!(receipt.is_null(), "{row}: {receipt}"),
        }
    }

    fn within(&self, which: Which, name: Name) -> (usize, &SignedTransaction) {
        let sender = if matches!(which, Which::Increment(_)) {
            CALLER
        } else {
            PAYER
        };
        self.world.transaction(name, sender)
    }

    fn status(&self, which: Which, place: Place) -> Value {
        let canonical = |name: Name| !self.situation.lost.contains(&name);
        let of = |name: Name, with: Value| {
            let mut status = json!({
                "block_hash": self.world.hash(name),
                "height": self.world.height(name),
                "index": self.within(which, name).0,
            });
            let fields = status.as_object_mut().unwrap();
            fields.append(&mut with.as_object().unwrap().clone());
            status
        };
        match place {
            Place::Unknown => json!({ "status": "unknown" }),
            Place::Pooled => json!({ "status": "pooled" }),
            Place::NonceGap { expected, found } => {
                let reason = json!({ "name": "NonceGap", "expected": expected, "found": found });
                json!({ "status": "held", "reason": reason })
            }
            Place::Included(name) => of(
                name,
                json!({ "status": "included", "canonical": canonical(name) }),
            ),
            Place::Executed(name) => of(
                name,
                json!({ "status": "executed", "outcome": "success", "canonical": canonical(name) }),
            ),
            Place::Settled(name, by) => of(
                name,
                json!({ "status": "settled", "outcome": "success", "settled_by": self.world.height(by) }),
            ),
        }
    }

    fn check_receipt(&self, which: Which, name: Name, receipt: &Value, row: &str) {
        let (index, signed) = self.within(which, name);
        let known = self.world.known(name);
        let expected = &known.receipts[index];
        let canonical = !self.situation.lost.contains(&name);
        assert_eq!(receipt["transaction_hash"], json!(signed.hash()), "{row}");
        assert_eq!(receipt["block_hash"], json!(self.world.hash(name)), "{row}");
        assert_eq!(receipt["height"], self.world.height(name), "{row}");
        assert_eq!(receipt["index"], index, "{row}");
        assert_eq!(receipt["canonical"], canonical, "{row}");
        assert_eq!(receipt["outcome"], "success", "{row}");
        assert_eq!(receipt["gas_used"], expected.gas_used, "{row}");
        assert_eq!(receipt["gas_charged"], expected.gas_charged, "{row}");
        let settled_by = if canonical {
            self.settled_by(name)
        } else {
            Value::Null
        };
        assert_eq!(receipt["settled_by"], settled_by, "{row}");
        let part = |field: &str| -> Bytes {
            serde_json::from_value(receipt["proof"][field].clone()).expect("a proof was asked for")
        };
        let proven: TransactionReceipt = part("receipt").decode().unwrap();
        assert_eq!(&proven, expected, "{row}");
        let inclusion: InclusionProof = part("inclusion").decode().unwrap();
        let root = &known.receipt.transaction_receipts_root;
        assert!(verify_receipt(root, &proven, &inclusion).is_ok(), "{row}");
    }

    /// One cell of the settlements.
    pub fn check_settlement(&self, height: u64, by: Option<Name>) {
        let answer = self.result("millrace_getSettlement", &json!([height]));
        let row = format!("settlement of {height} when {}: {answer}", self.situation.title);
        let Some(by) = by else {
            return assert!(answer.is_null(), "{row}");
        };
        let block = &self.world.known(by).block;
        assert_eq!(answer["height"], height, "{row}");
        assert_eq!(answer["settled_by"], block.header.height, "{row}");
        assert_eq!(answer["header"], json!(Bytes::of(&block.header)), "{row}");
        assert_eq!(
            answer["receipts"],
            json!(Bytes::of(&block.body.receipts)),
            "{row}"
        );
    }

    /// One cell of the headers: from `first` up to a block, in order.
    pub fn check_headers(&self, first: u64, last: Option<Name>) {
        let answer = self.result("millrace_getHeaders", &json!([first, 100]));
        let headers: Vec<Hash> = answer
            .as_array()
            .unwrap()
            .iter()
            .map(|sealed| {
                let header: Bytes = serde_json::from_value(sealed["header"].clone()).unwrap();
                header.decode::<Header>().unwrap().hash()
            })
            .collect();
        let mut expected = Vec::new();
        let mut at = last;
        while let Some(name) = at.filter(|name| self.world.height(name) >= first) {
            expected.insert(0, self.world.hash(name));
            at = Some(self.world.parent(name));
        }
        assert_eq!(headers, expected, "from {first} when {}", self.situation.title);
    }

    /// What takes no reference is judged where the document says: the next payment of the early sender is due.
    pub fn check_pool(&self) {
        let account = self.result("millrace_getAccount", &json!([address(EARLY), "settled"]));
        assert_eq!(
            (&account["nonce"], &account["balance"]),
            (&json!(0), &json!(BALANCE.to_string()))
        );
        let sent: Vec<Address> = pooled().iter().map(SignedTransaction::sender).collect();
        assert_eq!(sent, [address(PAYER), address(EARLY)]);
    }
}

fn is_error(answer: Result<Value, Value>, code: i64, data: &Value) -> bool {
    answer.is_err_and(|error| error["code"] == code && error["data"] == *data)
}
