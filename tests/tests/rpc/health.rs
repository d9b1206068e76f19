//! Health of a real node: its plugin panics, and it says so and serves on.

use std::fs;
use std::time::Duration;

use millrace_tests::program;
use serde_json::{Value, json};

use crate::contracts;
use crate::process::Running;
use crate::socket;

fn call(node: &Running, method: &str, params: &Value) -> Value {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let answer = socket::post(node.address(), &body.to_string());
    serde_json::from_str(&answer.body).unwrap()
}

#[test]
fn a_node_whose_plugin_panicked_is_unavailable_and_says_why_and_serves_reads() {
    let directory = tempfile::tempdir().unwrap();
    let mut spec = contracts::spec();
    spec.consensus.id = "misbehaving/1".to_owned();
    fs::write(
        directory.path().join("spec.json"),
        serde_json::to_string(&spec).unwrap(),
    )
    .unwrap();
    let configuration = format!(
        "version = 1\nchain_spec = \"spec.json\"\ndata_directory = \"data\"\n\n[plugin]\npath = {:?}\nconfig = \"panic in deliver(timer)\"\n\n[rpc]\nlisten = \"127.0.0.1:0\"\n",
        program::misbehaving_plugin()
    );
    let file = directory.path().join("node.toml");
    fs::write(&file, configuration).unwrap();
    let node = Running::node(&file);
    let mut tries = 0;
    let ill = loop {
        let health = socket::get(node.address(), "/health");
        if health.status != 200 {
            break health;
        }
        assert_eq!(health.body, "{\"status\":\"ok\"}");
        tries += 1;
        assert!(tries < 500, "the panic shows nowhere");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(ill.status, 503);
    let page: Value = serde_json::from_str(&ill.body).unwrap();
    assert_eq!(page["status"], "unavailable");
    let reason = page["reason"].as_str().unwrap();
    assert!(reason.contains("told to panic in deliver(timer)"), "{reason}");

    let status = call(&node, "millrace_status", &json!([]));
    let status = &status["result"];
    assert!(
        status["stopped"].as_str().unwrap().starts_with("PluginFault: "),
        "{status}"
    );
    assert_ne!(status["plugin"]["state"], "healthy");
    let genesis = call(&node, "millrace_getBlock", &json!([0]));
    assert_eq!(genesis["result"]["header"]["height"], 0, "reads go on");
    let metrics = socket::get(node.address(), "/metrics").body;
    assert!(metrics.contains("\nmillrace_stopped 1\n"), "{metrics}");
    node.signal("TERM");
}
