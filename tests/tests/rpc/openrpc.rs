//! The surface's description of itself: committed, well-formed, complete, and true of what a node answers.

use std::collections::BTreeSet;

use jsonschema::Validator;
use millrace_pipeline::EngineConfig;
use millrace_rpc::Bytes;
use millrace_rpc::error::ErrorName;
use millrace_rpc::openrpc::DISCOVER;
use millrace_rpc::server::RpcConfig;
use millrace_types::{Address, Hash};
use serde_json::{Map, Value, json};

use crate::blessed;
use crate::contracts::{self, COUNT, GET, INCREMENT, deploy_counter};
use crate::documents;
use crate::node::Node;
use crate::sequencer::address;
use crate::socket::{self, WebSocket};

fn ask(node: &Node, method: &str, params: &Value) -> Result<Value, Value> {
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let answer: Value = serde_json::from_str(&socket::post(&node.address, &call.to_string()).body).unwrap();
    match answer.get("result") {
        Some(result) => Ok(result.clone()),
        None => Err(answer["error"].clone()),
    }
}

fn discover(node: &Node) -> Value {
    ask(node, DISCOVER, &json!([])).unwrap()
}

fn methods(document: &Value) -> &Vec<Value> {
    document["methods"].as_array().unwrap()
}

/// Calls `visit` with every value of a document and what leads to it.
fn walk<'a>(value: &'a Value, place: &str, visit: &mut impl FnMut(&str, &'a Value)) {
    visit(place, value);
    match value {
        Value::Array(list) => {
            for (at, each) in list.iter().enumerate() {
                walk(each, &format!("{place}/{at}"), visit);
            }
        }
        Value::Object(fields) => {
            for (name, each) in fields {
                walk(each, &format!("{place}/{name}"), visit);
            }
        }
        _ => {}
    }
}

#[test]
fn openrpc_document_is_the_committed_one() {
    let document = discover(&Node::new());
    let text = format!("{}\n", serde_json::to_string_pretty(&document).unwrap());
    blessed::compare("docs/spec/openrpc.json", &text);
}

/// The rules of OpenRPC's specification that a document of this kind can break.
#[test]
fn openrpc_document_keeps_the_rules_of_openrpc() {
    let document = discover(&Node::new());
    assert!(document["openrpc"].as_str().unwrap().starts_with("1."));
    for field in ["title", "version"] {
        assert!(document["info"][field].is_string(), "info.{field}");
    }
    let mut names = BTreeSet::new();
    for method in methods(&document) {
        let name = method["name"].as_str().unwrap();
        assert!(names.insert(name), "{name} stands there twice");
        assert_eq!(method["paramStructure"], "either", "{name}");
        let mut parameters = BTreeSet::new();
        let mut is_behind_optional = false;
        for parameter in method["params"].as_array().unwrap() {
            let of = parameter["name"].as_str().unwrap();
            assert!(parameters.insert(of), "{name}: {of} stands there twice");
            let is_required = parameter["required"].as_bool().unwrap();
            assert!(
                !(is_required && is_behind_optional),
                "{name}: {of} comes behind an optional one"
            );
            is_behind_optional |= !is_required;
            assert!(parameter.get("schema").is_some(), "{name}: {of}");
        }
        assert!(method["result"]["name"].is_string() && method["result"].get("schema").is_some());
    }
    let keys = |of: &str| document["components"][of].as_object().unwrap().keys();
    for key in keys("schemas").chain(keys("errors")) {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        assert!(key.chars().all(is_plain), "{key}");
    }
    let mut references = 0;
    walk(&document, "#", &mut |place, value| {
        let Some(target) = value.get("$ref").and_then(Value::as_str) else {
            return;
        };
        let pointer = target
            .strip_prefix('#')
            .unwrap_or_else(|| panic!("{place}: {target}"));
        assert!(
            document.pointer(pointer).is_some(),
            "{place} refers to {target}, which is not there"
        );
        references += 1;
    });
    assert!(references > 60, "{references}");
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        assert!(jsonschema::draft7::meta::is_valid(schema), "{name}");
        let is_named = |name: &str| {
            let target = format!("#/components/schemas/{name}");
            let mut found = false;
            walk(&document, "#", &mut |_, value| {
                found |= value.get("$ref") == Some(&json!(target))
            });
            found
        };
        assert!(is_named(name), "nothing refers to {name}");
    }
}

#[test]
fn openrpc_document_has_every_method_parameter_and_error() {
    let node = Node::new();
    let document = discover(&node);
    let described: BTreeSet<String> = methods(&document)
        .iter()
        .map(|method| method["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(described, node.methods);
    for method in methods(&document) {
        let takes: Vec<String> = method["params"]
            .as_array()
            .unwrap()
            .iter()
            .map(|parameter| match parameter["required"] == true {
                true => format!("`{}`", parameter["name"].as_str().unwrap()),
                false => format!("`{}` (optional)", parameter["name"].as_str().unwrap()),
            })
            .collect();
        let takes = if takes.is_empty() {
            "none".to_owned()
        } else {
            takes.join(", ")
        };
        let name = method["name"].as_str().unwrap();
        assert_eq!(documents::parameters(&node, name), takes, "{name}");
    }
    let errors = document["components"]["errors"].as_object().unwrap();
    assert_eq!(errors.len(), ErrorName::ALL.len());
    for name in ErrorName::ALL {
        let error = &errors[name.as_str()];
        assert_eq!(error["code"], name.code());
        assert_eq!(error["data"]["name"], name.as_str());
        // Every one is somebody's.
        let reference = json!({ "$ref": format!("#/components/errors/{}", name.as_str()) });
        let listed = |list: &Value| list.as_array().unwrap().contains(&reference);
        let is_known = methods(&document).iter().any(|method| listed(&method["errors"]));
        assert!(is_known || listed(&document["x-errors"]), "{}", name.as_str());
    }
}

/// Schemas of a document as validators, and stricter than published: no field that is not described.
struct Schemas {
    document: Value,
}

impl Schemas {
    fn of(mut document: Value) -> Self {
        let published = document["components"]["schemas"].clone();
        close(&mut document["components"]["schemas"], &published);
        Self { document }
    }

    fn method(&self, name: &str) -> &Value {
        let named = |method: &&Value| method["name"] == name;
        methods(&self.document).iter().find(named).expect(name)
    }

    fn validator(&self, schema: &Value) -> Validator {
        let mut whole = Map::new();
        whole.insert("allOf".to_owned(), json!([schema]));
        whole.insert("components".to_owned(), self.document["components"].clone());
        jsonschema::draft7::new(&Value::Object(whole)).unwrap()
    }

    #[track_caller]
    fn holds(&self, what: &str, schema: &Value, value: &Value) {
        if let Err(fault) = self.validator(schema).validate(value) {
            panic!("{what}: {fault}, in {value}");
        }
    }

    /// An answer of a method: its result, or one of its errors.
    #[track_caller]
    fn answers(&self, method: &str, answer: &Result<Value, Value>) {
        let described = self.method(method);
        match answer {
            Ok(result) => self.holds(method, &described["result"]["schema"], result),
            Err(error) => {
                let name = error["data"]["name"].as_str().unwrap();
                let reference = json!({ "$ref": format!("#/components/errors/{name}") });
                assert!(
                    described["errors"].as_array().unwrap().contains(&reference),
                    "{method} may not fail with {error}"
                );
                assert_eq!(error["code"], self.document["components"]["errors"][name]["code"]);
            }
        }
    }

    /// Parameters as they are given by name.
    #[track_caller]
    fn takes(&self, method: &str, params: &Value) {
        for parameter in self.method(method)["params"].as_array().unwrap() {
            let name = parameter["name"].as_str().unwrap();
            match params.get(name) {
                Some(given) => self.holds(&format!("{method}: {name}"), &parameter["schema"], given),
                None => assert_eq!(parameter["required"], false, "{method}: {name}"),
            }
        }
    }
}

/// Objects with described fields have no others. An object that has fields beside those of a `published` one gets these as
/// its own first: each of the two would refuse the other's.
fn close(schema: &mut Value, published: &Value) {
    match schema {
        Value::Array(list) => list.iter_mut().for_each(|each| close(each, published)),
        Value::Object(fields) => {
            if fields.get("properties").is_some_and(Value::is_object)
                && let Some(Value::Array(parts)) = fields.remove("allOf")
            {
                for part in parts {
                    take_fields(fields, &part, published);
                }
            }
            fields.values_mut().for_each(|each| close(each, published));
            if fields.get("properties").is_some_and(Value::is_object) && fields.contains_key("type") {
                let more = fields.entry("additionalProperties");
                more.or_insert(json!(false));
            }
        }
        _ => {}
    }
}

/// Fields of the object that `part` refers to, and which of them are required.
fn take_fields(fields: &mut Map<String, Value>, part: &Value, published: &Value) {
    let name = part["$ref"].as_str().unwrap();
    let part = &published[name.strip_prefix("#/components/schemas/").unwrap()];
    let properties = fields["properties"].as_object_mut().unwrap();
    properties.append(&mut part["properties"].as_object().unwrap().clone());
    let required = fields["required"].as_array_mut().unwrap();
    required.append(&mut part["required"].as_array().unwrap().clone());
}

/// Calls of every method that come to a result, and some that come to an error.
fn calls(node: &Node, counter: Address, executed: Hash) -> Vec<(&'static str, Value)> {
    let [nobody, none] = [json!(Address([0x77; 32])), json!(Hash([0xee; 32]))];
    let request = json!({ "to": counter, "input": Bytes(GET.to_vec()), "value": "0" });
    let trapping = json!({ "to": counter, "input": Bytes(INCREMENT.to_vec()), "gas_limit": 100 });
    let logging = json!({ "to": counter, "input": Bytes(INCREMENT.to_vec()), "from": nobody });
    let moves = json!({ "kind": "transfer", "to": nobody, "from": address(1), "value": "5" });
    let deploys = json!({ "kind": "deploy", "code": Bytes(contracts::COUNTER.to_vec()) });
    let increments = |gas_limit: Option<u64>| {
        let input = Bytes(INCREMENT.to_vec());
        json!({ "kind": "call", "to": counter, "input": input, "gas_limit": gas_limit })
    };
    let needed = ask(node, "millrace_estimateGas", &json!([increments(None)])).unwrap();
    let starves = increments(Some(needed["gas_limit"].as_u64().unwrap() - 1));
    let key = json!(Bytes(COUNT.to_vec()));
    let above = node.chain.engine.heights().head.height + 5;
    let transfer = Bytes::of(&contracts::transfer(3, 0, address(1), 5));
    let poor = Bytes::of(&contracts::transfer(3, 0, address(1), 6));
    vec![
        ("millrace_status", json!({})),
        ("millrace_chainSpec", json!({})),
        ("millrace_getBlock", json!({})),
        ("millrace_getBlock", json!({ "block": 2, "transactions": "full" })),
        (
            "millrace_getBlock",
            json!({ "block": 0, "transactions": "hashes" }),
        ),
        (
            "millrace_getBlock",
            json!({ "block": none, "transactions": null }),
        ),
        ("millrace_getHeaders", json!({ "first": 0, "count": 10 })),
        ("millrace_getHeaders", json!({ "first": 0, "count": 1_000 })),
        ("millrace_getExecutionReceipt", json!({ "block": "settled" })),
        ("millrace_getExecutionReceipt", json!({ "block": "0" })),
        ("millrace_getSettlement", json!({ "height": 1 })),
        ("millrace_getSettlement", json!({ "height": above })),
        ("millrace_getTransaction", json!({ "hash": executed })),
        ("millrace_getTransaction", json!({ "hash": none })),
        (
            "millrace_getTransactionReceipt",
            json!({ "hash": executed, "proof": true }),
        ),
        ("millrace_getTransactionReceipt", json!({ "hash": executed })),
        ("millrace_getTransactionReceipt", json!({ "hash": none })),
        ("millrace_getTransactionStatus", json!({ "hash": executed })),
        ("millrace_getTransactionStatus", json!({ "hash": none })),
        (
            "millrace_getAccount",
            json!({ "address": address(1), "proof": true }),
        ),
        (
            "millrace_getAccount",
            json!({ "address": nobody, "block": "safe" }),
        ),
        (
            "millrace_getAccount",
            json!({ "address": nobody, "block": "pending" }),
        ),
        (
            "millrace_getAccount",
            json!({ "address": nobody, "block": above }),
        ),
        ("millrace_getAccount", json!({ "address": nobody, "block": none })),
        (
            "millrace_getStorage",
            json!({ "contract": counter, "key": key, "proof": true }),
        ),
        ("millrace_getStorage", json!({ "contract": nobody, "key": "0x" })),
        (
            "millrace_getStorage",
            json!({ "contract": nobody, "key": "0x", "block": "pending" }),
        ),
        (
            "millrace_getCode",
            json!({ "contract": counter, "proof": true, "block": "finalized" }),
        ),
        ("millrace_getCode", json!({ "contract": nobody })),
        (
            "millrace_getState",
            json!({ "paths": [none, none], "proof": true, "block": "safe" }),
        ),
        ("millrace_getState", json!({ "paths": vec![&none; 65] })),
        ("millrace_call", json!({ "request": request, "block": "latest" })),
        ("millrace_call", json!({ "request": trapping })),
        ("millrace_call", json!({ "request": logging })),
        ("millrace_estimateGas", json!({ "request": moves })),
        (
            "millrace_estimateGas",
            json!({ "request": deploys, "block": "safe" }),
        ),
        (
            "millrace_estimateGas",
            json!({ "request": starves, "block": "executed" }),
        ),
        (
            "millrace_estimateGas",
            json!({ "request": increments(Some(1_000)) }),
        ),
        (
            "millrace_estimateGas",
            json!({ "request": increments(Some(1 << 60)) }),
        ),
        (
            "millrace_estimateGas",
            json!({ "request": moves, "block": above }),
        ),
        ("millrace_getLogs", json!({ "filter": {} })),
        ("millrace_getLogs", json!({ "filter": { "from": 0, "limit": 1 } })),
        (
            "millrace_getLogs",
            json!({ "filter": { "from": 0, "to": "latest", "contract": counter } }),
        ),
        (
            "millrace_getLogs",
            json!({ "filter": { "block": 1, "contract": [counter, nobody], "topics": [null, none, [none]] } }),
        ),
        (
            "millrace_getLogs",
            json!({ "filter": { "from": 0, "to": above } }),
        ),
        ("millrace_getLogs", json!({ "filter": { "block": none } })),
        ("millrace_sendTransaction", json!({ "transaction": transfer })),
        ("millrace_sendTransaction", json!({ "transaction": poor })),
        ("millrace_sendTransaction", json!({ "transaction": "0x00" })),
        ("millrace_subscribe", json!({ "topic": "head" })),
        ("millrace_unsubscribe", json!({ "subscription": 7 })),
        (DISCOVER, json!({})),
    ]
}

#[test]
fn openrpc_schemas_are_true_of_what_a_node_answers() {
    let mut node = Node::start(contracts::spec(), EngineConfig::default(), RpcConfig::default());
    let counter = deploy_counter(&mut node);
    let call = contracts::call(1, 0, counter, INCREMENT);
    let engine = node.chain.engine.clone();
    for nonce in [0, 1] {
        engine
            .submit_transaction(contracts::call(1, nonce, counter, INCREMENT))
            .unwrap();
    }
    node.settle();
    // A held one and a pooled one.
    for nonce in [2, 4] {
        engine
            .submit_transaction(contracts::call(1, nonce, counter, INCREMENT))
            .unwrap();
    }
    let schemas = Schemas::of(discover(&node));
    let mut answered = BTreeSet::new();
    for (method, params) in calls(&node, counter, call.hash()) {
        schemas.takes(method, &params);
        let answer = ask(&node, method, &params);
        schemas.answers(method, &answer);
        if answer.is_ok() {
            answered.insert(method.to_owned());
        }
    }
    let page = ask(&node, "millrace_getLogs", &json!([{ "from": 0, "limit": 1 }])).unwrap();
    assert!(page["next"].is_string() && page["logs"][0].is_object(), "{page}");
    let rest = json!({ "from": 0, "cursor": page["next"] });
    schemas.takes("millrace_getLogs", &json!({ "filter": rest }));
    let rest = ask(&node, "millrace_getLogs", &json!([rest]));
    schemas.answers("millrace_getLogs", &rest);
    assert_eq!(rest.unwrap()["logs"].as_array().map(Vec::len), Some(1));
    for nonce in [2, 4] {
        let hash = contracts::call(1, nonce, counter, INCREMENT).hash();
        let answer = ask(&node, "millrace_getTransactionStatus", &json!([hash]));
        schemas.answers("millrace_getTransactionStatus", &answer);
    }
    answered.extend(check_notifications(&mut node, &schemas, counter));
    assert_eq!(answered, node.methods, "every method came to a result once");
}

/// Subscribes to every topic, has something happen, and ends it; answers what that called.
fn check_notifications(node: &mut Node, schemas: &Schemas, counter: Address) -> [String; 2] {
    let [subscribe, unsubscribe] = ["millrace_subscribe", "millrace_unsubscribe"];
    let mut socket = WebSocket::open(&node.address, "").unwrap();
    let notification = schemas.method(subscribe)["x-notification"].clone();
    let topics = [
        json!("finalized"),
        json!("executed"),
        json!("settled"),
        json!("head"),
        json!("transactions"),
        json!({ "logs": { "contract": [counter], "topics": [] } }),
    ];
    let described = &schemas.document["components"]["schemas"]["Topic"]["oneOf"];
    assert_eq!(described.as_array().map(Vec::len), Some(topics.len()));
    let mut ids = Vec::new();
    for topic in &topics {
        schemas.takes(subscribe, &json!({ "topic": topic }));
        socket.call(1, subscribe, &json!([topic]));
        let answer = socket.read()["result"].clone();
        schemas.answers(subscribe, &Ok(answer.clone()));
        ids.push(answer);
    }
    node.settle();
    let mut told = BTreeSet::new();
    while told.len() < topics.len() {
        let message = socket.read();
        assert_eq!(message["method"], notification["name"]);
        let result = &message["params"]["result"];
        schemas.holds("a notification", &notification["schema"], result);
        told.insert(result["event"]["kind"].to_string());
    }
    socket.call(2, unsubscribe, &json!([ids[0]]));
    let ended = loop {
        let message = socket.read();
        if message["id"] == 2 {
            break message["result"].clone();
        }
    };
    schemas.answers(unsubscribe, &Ok(ended));
    [subscribe.to_owned(), unsubscribe.to_owned()]
}

/// A schema that takes anything would be true as well.
#[test]
fn openrpc_schemas_refuse_what_is_changed() {
    let mut node = Node::new();
    let counter = deploy_counter(&mut node);
    let schemas = Schemas::of(discover(&node));
    let deployed = node
        .chain
        .engine
        .resolve(millrace_pipeline::BlockId::Height(1))
        .unwrap()
        .unwrap();
    let block = node.chain.engine.block(&deployed.hash).unwrap().unwrap();
    let mut refused = 0;
    for (method, params) in calls(&node, counter, block.body.transactions[0].hash()) {
        let Ok(Value::Object(result)) = ask(&node, method, &params) else {
            continue;
        };
        let validator = schemas.validator(&schemas.method(method)["result"]["schema"]);
        if method == DISCOVER || result.contains_key("spec") {
            continue;
        }
        for field in result.keys() {
            let mut changed = result.clone();
            changed.insert(field.clone(), json!([[]]));
            assert!(
                !validator.is_valid(&Value::Object(changed)),
                "{method}: {field} is no list of lists"
            );
            refused += 1;
        }
        let mut changed = result.clone();
        changed.insert("more".to_owned(), json!(1));
        assert!(
            !validator.is_valid(&Value::Object(changed)),
            "{method} has no such field"
        );
    }
    assert!(refused > 60, "{refused}");
    let takes = schemas.validator(&schemas.method("millrace_getBlock")["params"][0]["schema"]);
    for wrong in [
        json!("earliest"),
        json!("0x7"),
        json!(-1),
        json!(1.5),
        json!([]),
        json!({}),
    ] {
        assert!(!takes.is_valid(&wrong), "{wrong}");
    }
}
