//! `millrace contract trace` on a chain: what it shows is what happened, and a node that says otherwise is found out.

use std::io::BufReader;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use millrace_tests::program;
use millrace_types::{Address, Hash};
use serde_json::{Value, json};

use crate::chain::Chain;
use crate::http;
use crate::rpc::{Rpc, from_hex};
use crate::wallet::{Wallet, example};

const INCREMENT: u8 = 0x01;

fn trace(url: &str, arguments: &[&str]) -> Output {
    let artifacts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/artifacts");
    Command::new(program::millrace())
        .args(["contract", "trace", "--json", "--rpc", url, "--out"])
        .arg(artifacts)
        .args(arguments)
        .env_remove("MILLRACE_LOG")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn traced(url: &str, arguments: &[&str]) -> Value {
    let output = trace(url, arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn refused(url: &str, arguments: &[&str]) -> String {
    let output = trace(url, arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn executed(rpc: &mut Rpc, hash: &Hash) -> Value {
    rpc.wait("a receipt", |rpc| {
        let receipt = rpc.call("getTransactionReceipt", json!([hash]));
        (!receipt.is_null()).then_some(receipt)
    })
}

fn deployed(rpc: &mut Rpc, wallet: &Wallet, nonce: u64, name: &str) -> Address {
    let hash = rpc
        .send(&wallet.deploy(nonce, example(name), Vec::new()))
        .unwrap();
    let receipt = executed(rpc, &hash);
    assert_eq!(receipt["outcome"], "success", "{receipt}");
    serde_json::from_value(receipt["created"].clone()).unwrap()
}

/// All gas of a frame, as its functions and the frames that it called have it.
fn accounted(traced: &Value) -> u64 {
    let contracts = traced["gas"].as_array().unwrap().iter();
    let rows = contracts.flat_map(|contract| contract["functions"].as_array().unwrap());
    rows.map(|row| row["own"].as_u64().unwrap()).sum()
}

fn checked(traced: &Value) {
    let frame = &traced["frame"];
    let (used, intrinsic) = (&traced["gas_used"], &traced["intrinsic_gas"]);
    let inside = used.as_u64().unwrap() - intrinsic.as_u64().unwrap();
    assert_eq!(frame["gas_used"], inside, "{traced}");
    assert_eq!(accounted(traced), inside, "every gas is somebody's: {traced}");
}

#[test]
fn a_transaction_is_traced_on_the_state_that_it_met() {
    let chain = Chain::start(&["--seed", "31", "--block-interval-ms", "300", "--commitment", "a"]);
    let mut rpc = chain.rpc();
    let counter = deployed(&mut rpc, &chain.wallets[0], 0, "counter");
    let mut count = 0_u64;
    for nonce in 0..20 {
        let callers = &chain.wallets[1..6];
        let sent: Vec<Hash> = callers
            .iter()
            .map(|wallet| rpc.send(&wallet.call(nonce, counter, vec![INCREMENT])).unwrap())
            .collect();
        let mut receipts: Vec<_> = sent.iter().map(|hash| executed(&mut rpc, hash)).collect();
        let place = |receipt: &Value| (receipt["height"].as_u64(), receipt["index"].as_u64());
        receipts.sort_by_key(place);
        let mut behind_others = 0;
        for receipt in receipts {
            count += 1;
            let hash = receipt["transaction_hash"].as_str().unwrap();
            let traced = traced(&chain.url, &[hash]);
            assert_eq!(traced["place"]["index"], receipt["index"]);
            assert_eq!(traced["output"], receipt["output"]);
            assert_eq!(from_hex(&traced["output"]), count.to_le_bytes());
            assert_eq!(traced["logs"], receipt["logs"]);
            assert_eq!(traced["frame"]["program"], "counter");
            let steps = traced["frame"]["steps"].as_array().unwrap();
            let texts: Vec<_> = steps.iter().map(|step| step["text"].as_str().unwrap()).collect();
            assert!(
                texts
                    .iter()
                    .any(|text| *text == format!("count: {count}, was {}", count - 1)),
                "{texts:?}"
            );
            checked(&traced);
            behind_others += receipt["index"].as_u64().unwrap();
        }
        if behind_others > 0 {
            return;
        }
    }
    panic!("no two of five transactions came into one block, twenty times");
}

#[test]
fn frames_lie_within_each_other_and_a_call_that_nobody_sent_is_tried() {
    let chain = Chain::start(&["--seed", "32", "--block-interval-ms", "50"]);
    let (mut rpc, alice) = (chain.rpc(), chain.wallets[0].clone());
    let registry = deployed(&mut rpc, &alice, 0, "registry");
    // launch(code, total_supply, name), and then pay(name, to, amount).
    let bytes = |bytes: &[u8]| [&(bytes.len() as u32).to_le_bytes()[..], bytes].concat();
    let launch = [
        &[2][..],
        &bytes(&example("token")),
        &1_000_u128.to_le_bytes(),
        &bytes(b"Mill"),
    ];
    let payload = millrace_types::Payload::Call {
        to: registry,
        value: 0,
        input: launch.concat(),
    };
    let hash = rpc.send(&alice.sign(1, 150_000_000, payload)).unwrap();
    let receipt = executed(&mut rpc, &hash);
    assert_eq!(receipt["outcome"], "success", "{receipt}");
    let launched = traced(&chain.url, &[&hash.to_string()]);
    checked(&launched);
    let steps = launched["frame"]["steps"].as_array().unwrap();
    let inner: Vec<_> = steps.iter().filter(|step| step["kind"] == "frame").collect();
    let first = &inner[0]["frame"];
    assert_eq!(
        (&first["program"], &first["is_initialiser"], &first["caller"]),
        (&"token".into(), &true.into(), &json!(registry)),
        "{launched}"
    );
    assert_eq!(launched["frame"]["program"], "registry");
    let gas = launched["gas"].as_array().unwrap().iter();
    let gas: Vec<_> = gas.map(|used| (&used["contract"], &used["program"])).collect();
    assert_eq!(gas[0], (&json!(registry), &"registry".into()));
    assert_eq!(gas[1], (&first["contract"], &"token".into()));

    let (registry, stranger) = (registry.to_string(), chain.wallets[5].address_text());
    let pay = ["pay", "Mill", &stranger, "5", "--from", &stranger];
    let tried = traced(&chain.url, &[&[registry.as_str()], &pay[..]].concat());
    checked(&tried);
    assert_eq!(tried["place"], Value::Null);
    assert_eq!(tried["frame"]["ended"], "reverted");
    let failed = tried["frame"]["steps"].as_array().unwrap().iter();
    let failed: Vec<_> = failed
        .filter(|step| step["frame"]["ended"] == "reverted")
        .map(|step| &step["frame"]["program"])
        .collect();
    assert_eq!(failed, ["token"], "{tried}");

    // What a call is tried with is nothing that a transaction could be traced with.
    let hash_text = hash.to_string();
    for option in [
        ["--from", &stranger],
        ["--value", "1"],
        ["--gas-limit", "1000"],
        ["--block", "executed"],
    ] {
        let output = trace(&chain.url, &[&[hash_text.as_str()], &option[..]].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{option:?}: {said}");
        assert!(said.contains("required arguments were not provided"), "{said}");
    }

    let none = "0x7777777777777777777777777777777777777777777777777777777777777777";
    for (arguments, why) in [
        (&[none][..], "has no transaction 0x7777"),
        (&[&registry], "it is a contract: name a function to try"),
        (
            &[&registry, "nothing"],
            "registry has no function nothing; it has register(token: address)",
        ),
        (&[none, "get"], "there is no contract at 0x7777"),
        (
            &[&registry, "--input", "0x10", "--block", "99999"],
            "height 99999 is not executed yet",
        ),
        // As for a read: it is never tried on another state.
        (
            &[&registry, "--input", "0x10", "--block", "pending"],
            "is not executed yet",
        ),
    ] {
        let said = refused(&chain.url, arguments);
        assert!(said.contains(why), "{arguments:?}: {said}");
    }
    // Input as it is needs no interface; an account without code runs nothing.
    let nobody = traced(&chain.url, &[none, "--input", "0x"]);
    assert_eq!(
        (&nobody["outcome"], &nobody["frame"]),
        (&"no_code".into(), &Value::Null)
    );
    let short = traced(&chain.url, &[&registry, "--input", "0x10", "--gas-limit", "10"]);
    assert_eq!(short["outcome"], "trapped", "{short}");
    // What a trap takes that nothing has used is told apart.
    let whole = traced(&chain.url, &[&registry, "count"]);
    let entry = whole["frame"]["entry_gas"].as_u64().unwrap();
    let limit = (entry + 60).to_string();
    let ended = traced(&chain.url, &[&registry, "count", "--gas-limit", &limit]);
    assert_eq!(ended["frame"]["trap"]["kind"], "out of gas", "{ended}");
    checked(&ended);
}

/// Changes an answer of a method.
type Lie = fn(&str, &mut Value);

/// A node between the caller and a true one, which changes answers.
fn liar(url: &str, change: Lie) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let url = url.to_owned();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, url) = (stream.unwrap(), url.clone());
            thread::spawn(move || {
                let mut rpc = Rpc::connect(&url).unwrap();
                let mut stream = BufReader::new(stream);
                while let Ok(Some(request)) = http::read(&mut stream) {
                    let request: Value = serde_json::from_slice(&request.body).unwrap();
                    let mut answer = rpc.forward(&request).unwrap();
                    change(request["method"].as_str().unwrap(), &mut answer);
                    http::answer(stream.get_mut(), answer.to_string().as_bytes()).unwrap();
                }
            });
        }
    });
    address
}

#[test]
fn a_node_that_shows_another_state_or_receipt_is_found_out() {
    let chain = Chain::start(&["--seed", "33", "--block-interval-ms", "50"]);
    let mut rpc = chain.rpc();
    let deploy = chain.wallets[0].deploy(0, example("counter"), Vec::new());
    let deploy = rpc.send(&deploy).unwrap();
    let counter = serde_json::from_value(executed(&mut rpc, &deploy)["created"].clone()).unwrap();
    let hash = rpc
        .send(&chain.wallets[1].call(0, counter, vec![INCREMENT]))
        .unwrap();
    executed(&mut rpc, &hash);
    let hash = hash.to_string();
    let honest = liar(&chain.url, |_, _| {});
    assert_eq!(traced(&honest, &[&hash])["outcome"], "success");
    // One that has no time for the first question about state is asked again.
    let busy = liar(&chain.url, |method, answer| {
        static WAS_BUSY: AtomicBool = AtomicBool::new(false);
        if method == "millrace_getState" && !WAS_BUSY.swap(true, Ordering::SeqCst) {
            let data =
                json!({ "name": "LimitExceeded", "what": "requests", "limit": 1, "retry_after_ms": 20 });
            *answer = json!({
                "jsonrpc": "2.0", "id": answer["id"],
                "error": { "code": -32021, "message": "too many", "data": data },
            });
        }
    });
    assert_eq!(traced(&busy, &[&hash])["outcome"], "success");

    /// Another block of the chain.
    static OTHER: OnceLock<Value> = OnceLock::new();
    let block = rpc.call("getBlock", json!([0]));
    OTHER.set(block["hash"].clone()).unwrap();
    let lies: [(&str, Lie); 12] = [
        ("it answered the state of another block", |method, answer| {
            if method == "millrace_getState" {
                answer["result"]["origin"]["block_hash"] = OTHER.get().unwrap().clone();
            }
        }),
        ("it answered another block than was asked", |method, answer| {
            if method == "millrace_getBlock" {
                answer["result"]["header"]["timestamp_ms"] = 7.into();
            }
        }),
        ("it answered another block than was asked", |method, answer| {
            if method == "millrace_getBlock" {
                answer["result"]["hash"] = OTHER.get().unwrap().clone();
            }
        }),
        (
            "the transactions that it answered are not the block's",
            |method, answer| {
                if method == "millrace_getBlock" {
                    let transactions = answer["result"]["transactions"].as_array_mut().unwrap();
                    transactions.push(transactions[0].clone());
                }
            },
        ),
        ("(other: gas_charged, output)", |method, answer| {
            if method == "millrace_getTransactionReceipt" {
                answer["result"]["output"] = "0x".into();
                answer["result"]["gas_charged"] = 1.into();
            }
        }),
        (" is not 0x", |method, answer| {
            // Where the contract was deployed there is a transaction, too.
            static DEPLOYED: OnceLock<Value> = OnceLock::new();
            let names_a_block = ["millrace_getTransaction", "millrace_getTransactionReceipt"];
            if method == "deployed" {
                DEPLOYED.set(answer.clone()).unwrap();
            } else if names_a_block.contains(&method) {
                answer["result"]["block_hash"] = DEPLOYED.get().unwrap().clone();
                answer["result"]["index"] = 0.into();
            }
        }),
        ("comes to success with", |method, answer| {
            if method == "millrace_getTransactionReceipt" {
                answer["result"]["gas_used"] = 1.into();
            }
        }),
        ("is it a Millrace node of this version?", |method, answer| {
            if method == "millrace_getState" {
                answer["result"]["values"].as_array_mut().unwrap().clear();
            }
        }),
        // Nobody has anything.
        ("cannot be executed on the state that", |method, answer| {
            if method == "millrace_getState" {
                for value in answer["result"]["values"].as_array_mut().unwrap() {
                    value["value"] = Value::Null;
                }
            }
        }),
        ("trace sooner, or ask a node that keeps", |method, answer| {
            if method == "millrace_getState" {
                let data = json!({ "name": "Pruned", "asked": 1, "oldest": 2 });
                *answer = json!({
                    "jsonrpc": "2.0", "id": answer["id"],
                    "error": { "code": -32002, "message": "it is pruned", "data": data },
                });
            }
        }),
        ("is said to be number 7", |method, answer| {
            if method == "millrace_getTransaction" {
                answer["result"]["index"] = 7.into();
            }
        }),
        ("a transaction does not decode", |method, answer| {
            if method == "millrace_getBlock" {
                answer["result"]["transactions"][0]["encoded"] = "0x00".into();
            }
        }),
    ];
    let mut deploy_block = rpc.call("getTransactionReceipt", json!([deploy]))["block_hash"].clone();
    for (why, lie) in lies {
        if why == " is not 0x" {
            lie("deployed", &mut deploy_block);
        }
        let said = refused(&liar(&chain.url, lie), &[&hash]);
        assert!(said.contains(why), "{why}: {said}");
    }
}
