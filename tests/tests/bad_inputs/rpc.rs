//! Requests that get an error: from what is no HTTP that the server takes, over what is no call, to parameters that name
//! nothing. After each of them the node serves as before.

use std::rc::Rc;

use serde_json::{Value, json};

use super::process::{LazyNode, Node, shown};
use super::{Case, case, check};

type Shared = Rc<LazyNode>;

const ZERO: &str = "0x0000000000000000000000000000000000000000000000000000000000000000";

/// A request of any kind. A body with an error object is shown in words, after the HTTP status unless that is 200.
fn request(
    name: &'static str,
    node: &Shared,
    send: impl Fn(&Node) -> (u16, String) + 'static,
    expected: &'static str,
) -> Case {
    let node = Rc::clone(node);
    let send = move || {
        let node = node.get();
        let (status, body) = send(node);
        node.assert_well();
        let answer = serde_json::from_str::<Value>(&body).ok();
        let text = match &answer {
            Some(Value::Array(entries)) => format!("[{}]", shown(&entries[0]["error"])),
            Some(answer) if answer.get("error").is_some() => shown(&answer["error"]),
            _ => body.trim_end().to_owned(),
        };
        match (
            status,
            answer.is_some_and(|answer| answer.get("result").is_some()),
        ) {
            (200, true) => Ok(()),
            (200, false) => Err(text),
            (status, _) => Err(format!("HTTP {status}: {text}")),
        }
    };
    case(name, send, expected)
}

fn body(name: &'static str, node: &Shared, body: &'static str, expected: &'static str) -> Case {
    request(name, node, |node| node.post(body.as_bytes()), expected)
}

fn call(
    name: &'static str,
    node: &Shared,
    method: &'static str,
    params: Value,
    expected: &'static str,
) -> Case {
    let node = Rc::clone(node);
    let send = move || {
        let node = node.get();
        let result = node.call(&format!("millrace_{method}"), &params);
        node.assert_well();
        result
    };
    case(name, send, expected)
}

fn http_cases(node: &Shared) -> Vec<Case> {
    let with_host = |head: &'static str| {
        move |node: &Node| node.http(&format!("{head}\r\nHost: {}", node.address), b"{}")
    };
    vec![
        request(
            "rpc: GET",
            node,
            with_host("GET / HTTP/1.1"),
            "HTTP 405: JSON-RPC takes POST, or GET to become a WebSocket; other pages are GET /health, GET /metrics and GET /dashboard",
        ),
        request(
            "rpc: a page that is not there",
            node,
            with_host("DELETE /nothing HTTP/1.1"),
            "HTTP 405: JSON-RPC takes POST, or GET to become a WebSocket; other pages are GET /health, GET /metrics and GET /dashboard",
        ),
        request(
            "rpc: not JSON by its content type",
            node,
            with_host("POST / HTTP/1.1\r\nContent-Type: text/plain"),
            "HTTP 415: Content-Type: JSON-RPC takes application/json",
        ),
        request(
            "rpc: another host's name",
            node,
            |node| {
                node.http(
                    "POST / HTTP/1.1\r\nContent-Type: application/json\r\nHost: attacker.example",
                    b"{}",
                )
            },
            "HTTP 403: Host: this node listens on this machine alone and answers requests to localhost, 127.0.0.1 or [::1]",
        ),
        request(
            "rpc: health under another host's name",
            node,
            |node| node.http("GET /health HTTP/1.1\r\nHost: attacker.example:4860", b""),
            "HTTP 403: Host: this node listens on this machine alone and answers requests to localhost, 127.0.0.1 or [::1]",
        ),
        request(
            "rpc: no host",
            node,
            |node| node.http("POST / HTTP/1.1\r\nContent-Type: application/json", b"{}"),
            "HTTP 400: Host: the request does not say which host it is for, as HTTP/1.1 asks",
        ),
        request(
            "rpc: a request too long",
            node,
            |node| node.announce((8 << 20) + 1),
            "HTTP 413: -32021 LimitExceeded {limit: 8388608, what: \"bytes of one request\"} the request has more than 8388608 bytes, this node's limit; send less at a time",
        ),
    ]
}

fn envelope_cases(node: &Shared) -> Vec<Case> {
    vec![
        body(
            "rpc: no body",
            node,
            "",
            "HTTP 400: -32700 ParseError {} the body is not JSON; send one JSON-RPC 2.0 call, or a list of them",
        ),
        body(
            "rpc: JSON cut short",
            node,
            "{\"jsonrpc\": \"2.0\",",
            "-32700 ParseError {} the body is not JSON; send one JSON-RPC 2.0 call, or a list of them",
        ),
        request(
            "rpc: no UTF-8",
            node,
            |node| node.post(b"{\"jsonrpc\": \"\xff\"}"),
            "-32700 ParseError {} the body is not JSON; send one JSON-RPC 2.0 call, or a list of them",
        ),
        request(
            "rpc: nested a hundred thousand deep",
            node,
            |node| node.post("[".repeat(100_000).as_bytes()),
            "-32700 ParseError {} the body is not JSON; send one JSON-RPC 2.0 call, or a list of them",
        ),
        body(
            "rpc: no method",
            node,
            "{\"jsonrpc\": \"2.0\", \"id\": 1}",
            "-32600 InvalidRequest {} a call is an object of \"jsonrpc\": \"2.0\", \"id\", \"method\" and \"params\"",
        ),
        body(
            "rpc: version 1 of JSON-RPC",
            node,
            "{\"jsonrpc\": \"1.0\", \"id\": 1, \"method\": \"millrace_status\"}",
            "-32600 InvalidRequest {} a call is an object of \"jsonrpc\": \"2.0\", \"id\", \"method\" and \"params\"",
        ),
        body(
            "rpc: an empty batch",
            node,
            "[]",
            "-32600 InvalidRequest {} the batch is empty",
        ),
        body(
            "rpc: a batch of numbers",
            node,
            "[7]",
            "[-32600 InvalidRequest {} a call is an object of \"jsonrpc\": \"2.0\", \"id\", \"method\" and \"params\"]",
        ),
        request(
            "rpc: a batch too large",
            node,
            |node| {
                let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "millrace_status" });
                node.post(Value::from(vec![call; 65]).to_string().as_bytes())
            },
            "-32021 LimitExceeded {limit: 64, what: \"calls in one batch\"} the batch has 65 calls, this node's limit is 64; send fewer at a time",
        ),
        call(
            "rpc: unknown method",
            node,
            "mine",
            json!([]),
            "-32601 MethodNotFound {method: \"millrace_mine\"} there is no method \"millrace_mine\"; docs/spec/rpc.md lists them all",
        ),
        call(
            "rpc: a subscription without a WebSocket",
            node,
            "subscribe",
            json!(["finalized"]),
            "-32600 InvalidRequest {} millrace_subscribe needs a WebSocket: connect to ws:// on the same address",
        ),
    ]
}

fn parameter_cases(node: &Shared) -> Vec<Case> {
    vec![
        body(
            "rpc: params that are a number",
            node,
            "{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"millrace_getBlock\", \"params\": 7}",
            "-32602 InvalidParams {method: \"millrace_getBlock\"} millrace_getBlock: params is 7, neither a list nor an object; it takes `block` (optional), `transactions` (optional)",
        ),
        call(
            "rpc: a parameter missing",
            node,
            "getHeaders",
            json!([0]),
            "-32602 InvalidParams {expected: \"a number\", method: \"millrace_getHeaders\", parameter: \"count\"} millrace_getHeaders: parameter `count` is missing; it is a number",
        ),
        call(
            "rpc: a parameter too many",
            node,
            "getCode",
            json!([ZERO, "executed", true, 1]),
            "-32602 InvalidParams {method: \"millrace_getCode\"} millrace_getCode: parameters given: 4; it takes `contract`, `block` (optional), `proof` (optional)",
        ),
        call(
            "rpc: a parameter where none is taken",
            node,
            "status",
            json!([1]),
            "-32602 InvalidParams {method: \"millrace_status\"} millrace_status: parameters given: 1; it takes none",
        ),
        call(
            "rpc: an unknown parameter",
            node,
            "getBlock",
            json!({ "block": 0, "transaction": "full" }),
            "-32602 InvalidParams {method: \"millrace_getBlock\"} millrace_getBlock: there is no parameter `transaction`; it takes `block` (optional), `transactions` (optional)",
        ),
        call(
            "rpc: unknown tag",
            node,
            "getBlock",
            json!(["newest"]),
            "-32602 InvalidParams {expected: \"a tag, a height, or a block hash\", method: \"millrace_getBlock\", parameter: \"block\"} millrace_getBlock: parameter `block` is \"newest\" and takes a tag, a height, or a block hash: block reference \"newest\" is none of finalized, executed, latest, settled, safe, pending, a height, or a hash of 32 bytes in hex",
        ),
        call(
            "rpc: a hash too short for a block",
            node,
            "getExecutionReceipt",
            json!(["0xabcd"]),
            "-32602 InvalidParams {expected: \"a tag, a height, or a block hash\", method: \"millrace_getExecutionReceipt\", parameter: \"block\"} millrace_getExecutionReceipt: parameter `block` is \"0xabcd\" and takes a tag, a height, or a block hash: block reference \"0xabcd\" is none of finalized, executed, latest, settled, safe, pending, a height, or a hash of 32 bytes in hex",
        ),
        call(
            "rpc: a negative height",
            node,
            "getBlock",
            json!([-1]),
            "-32602 InvalidParams {expected: \"a tag, a height, or a block hash\", method: \"millrace_getBlock\", parameter: \"block\"} millrace_getBlock: parameter `block` is -1 and takes a tag, a height, or a block hash: a block reference: a tag, a height, or a block hash",
        ),
        call(
            "rpc: half a height",
            node,
            "getSettlement",
            json!([1.5]),
            "-32602 InvalidParams {expected: \"a height (a number)\", method: \"millrace_getSettlement\", parameter: \"height\"} millrace_getSettlement: parameter `height` is 1.5 and takes a height (a number): invalid type: floating point `1.5`, expected u64",
        ),
        call(
            "rpc: transactions neither hashed nor full",
            node,
            "getBlock",
            json!([0, "all"]),
            "-32602 InvalidParams {expected: \"\\\"hashes\\\" or \\\"full\\\"\", method: \"millrace_getBlock\", parameter: \"transactions\"} millrace_getBlock: parameter `transactions` is \"all\" and takes \"hashes\" or \"full\": unknown variant `all`, expected `hashes` or `full`",
        ),
        call(
            "rpc: text for a height",
            node,
            "getHeaders",
            json!(["first", 1]),
            "-32602 InvalidParams {expected: \"a height (a number)\", method: \"millrace_getHeaders\", parameter: \"first\"} millrace_getHeaders: parameter `first` is \"first\" and takes a height (a number): invalid type: string \"first\", expected u64",
        ),
        call(
            "rpc: a hash too short",
            node,
            "getTransaction",
            json!(["0x12"]),
            "-32602 InvalidParams {expected: \"a hash (64 hex digits after 0x)\", method: \"millrace_getTransaction\", parameter: \"hash\"} millrace_getTransaction: parameter `hash` is \"0x12\" and takes a hash (64 hex digits after 0x): 2 hex digits where 64 are needed (beside an optional 0x)",
        ),
        call(
            "rpc: a hash with other letters",
            node,
            "getTransactionStatus",
            json!(["0xzz"]),
            "-32602 InvalidParams {expected: \"a hash (64 hex digits after 0x)\", method: \"millrace_getTransactionStatus\", parameter: \"hash\"} millrace_getTransactionStatus: parameter `hash` is \"0xzz\" and takes a hash (64 hex digits after 0x): 'z' at position 2 is no hex digit",
        ),
        call(
            "rpc: an address that is a number",
            node,
            "getAccount",
            json!([12]),
            "-32602 InvalidParams {expected: \"an address (64 hex digits after 0x)\", method: \"millrace_getAccount\", parameter: \"address\"} millrace_getAccount: parameter `address` is 12 and takes an address (64 hex digits after 0x): invalid type: integer `12`, expected an address: a string of 64 hex digits",
        ),
        call(
            "rpc: text for a flag",
            node,
            "getTransactionReceipt",
            json!([ZERO, "yes"]),
            "-32602 InvalidParams {expected: \"true or false\", method: \"millrace_getTransactionReceipt\", parameter: \"proof\"} millrace_getTransactionReceipt: parameter `proof` is \"yes\" and takes true or false: invalid type: string \"yes\", expected a boolean",
        ),
        call(
            "rpc: a key of half a byte",
            node,
            "getStorage",
            json!([ZERO, "0xabc"]),
            "-32602 InvalidParams {expected: \"bytes (pairs of hex digits after 0x)\", method: \"millrace_getStorage\", parameter: \"key\"} millrace_getStorage: parameter `key` is \"0xabc\" and takes bytes (pairs of hex digits after 0x): an odd number of hex digits (3): every byte takes two",
        ),
        call(
            "rpc: a call to nobody",
            node,
            "call",
            json!([{ "input": "0x" }]),
            "-32602 InvalidParams {expected: \"an object of `to`, and as you like `from`, `input`, `value` (a decimal string), `gas_limit`\", method: \"millrace_call\", parameter: \"request\"} millrace_call: parameter `request` is {\"input\":\"0x\"} and takes an object of `to`, and as you like `from`, `input`, `value` (a decimal string), `gas_limit`: missing field `to`",
        ),
        call(
            "rpc: a call with an unknown field",
            node,
            "call",
            json!([{ "to": ZERO, "gas": 7 }]),
            "-32602 InvalidParams {expected: \"an object of `to`, and as you like `from`, `input`, `value` (a decimal string), `gas_limit`\", method: \"millrace_call\", parameter: \"request\"} millrace_call: parameter `request` is {\"gas\":7,\"to\":\"0x000000000000000000000000000000000000000000000000000000000000000… and takes an object of `to`, and as you like `from`, `input`, `value` (a decimal string), `gas_limit`: unknown field `gas`, expected one of `to`, `from`, `input`, `value`, `gas_limit`",
        ),
        call(
            "rpc: a value that is a number",
            node,
            "call",
            json!([{ "to": ZERO, "value": 7 }]),
            "-32602 InvalidParams {expected: \"an object of `to`, and as you like `from`, `input`, `value` (a decimal string), `gas_limit`\", method: \"millrace_call\", parameter: \"request\"} millrace_call: parameter `request` is {\"to\":\"0x0000000000000000000000000000000000000000000000000000000000000000\",\"valu… and takes an object of `to`, and as you like `from`, `input`, `value` (a decimal string), `gas_limit`: invalid type: integer `7`, expected an amount: a string of decimal digits, less than 2^128",
        ),
        call(
            "rpc: a negative value",
            node,
            "call",
            json!([{ "to": ZERO, "value": "-7" }]),
            "-32602 InvalidParams {expected: \"an object of `to`, and as you like `from`, `input`, `value` (a decimal string), `gas_limit`\", method: \"millrace_call\", parameter: \"request\"} millrace_call: parameter `request` is {\"to\":\"0x0000000000000000000000000000000000000000000000000000000000000000\",\"valu… and takes an object of `to`, and as you like `from`, `input`, `value` (a decimal string), `gas_limit`: no amount: it takes decimal digits, less than 2^128",
        ),
        call(
            "rpc: transaction bytes that are no hex",
            node,
            "sendTransaction",
            json!(["transfer"]),
            "-32602 InvalidParams {expected: \"bytes (pairs of hex digits after 0x)\", method: \"millrace_sendTransaction\", parameter: \"transaction\"} millrace_sendTransaction: parameter `transaction` is \"transfer\" and takes bytes (pairs of hex digits after 0x): 't' at position 0 is no hex digit",
        ),
    ]
}

fn state_cases(node: &Shared) -> Vec<Case> {
    vec![
        call(
            "rpc: too many headers",
            node,
            "getHeaders",
            json!([0, 257]),
            "-32021 LimitExceeded {asked: 257, limit: 256, what: \"headers in one answer\"} headers in one answer: 257 asked, this node's limit is 256; ask for less at a time",
        ),
        call(
            "rpc: more gas than a call may use",
            node,
            "call",
            json!([{ "to": ZERO, "gas_limit": 500_000_001 }]),
            "-32021 LimitExceeded {asked: 500000001, limit: 500000000, what: \"gas of a read-only call\"} gas of a read-only call: 500000001 asked, this node's limit is 500000000; ask for less at a time",
        ),
        call(
            "rpc: a key too long",
            node,
            "getStorage",
            json!([ZERO, format!("0x{}", "00".repeat(65_537))]),
            "-32021 LimitExceeded {asked: 65537, limit: 65536, what: \"bytes of a storage key\"} bytes of a storage key: 65537 asked, this node's limit is 65536; ask for less at a time",
        ),
        call(
            "rpc: state of a height not executed",
            node,
            "getAccount",
            json!([ZERO, 999]),
            "-32001 NotExecuted {asked: 999, executed: 0} height 999 is not executed yet, executed is 0",
        ),
        call(
            "rpc: storage of what is pending",
            node,
            "getStorage",
            json!([ZERO, "0x", "pending"]),
            "-32001 NotExecuted {asked: 1, executed: 0} height 1 is not executed yet, executed is 0",
        ),
        call(
            "rpc: state of an unknown block",
            node,
            "getAccount",
            json!([ZERO, ZERO]),
            "-32003 UnknownBlock {asked: \"0x0000000000000000000000000000000000000000000000000000000000000000\"} this node stores no block \"0x0000000000000000000000000000000000000000000000000000000000000000\"; ask by tag or height, or another node",
        ),
    ]
}

pub fn cases() -> Vec<Case> {
    let node = Shared::default();
    let mut cases = http_cases(&node);
    cases.extend(envelope_cases(&node));
    cases.extend(parameter_cases(&node));
    cases.extend(state_cases(&node));
    cases
}

#[test]
fn rpc_requests() {
    check("RPC", 40, &cases());
}
