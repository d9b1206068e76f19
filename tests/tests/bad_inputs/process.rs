//! The program as a process: run to its end with a deadline, or a development chain that serves RPC.

use std::cell::OnceCell;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use millrace_tests::program;
use millrace_types::SecretKey;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Pause between two looks at a process.
const POLL: Duration = Duration::from_millis(2);
/// Looks until a process counts as hung: 30 seconds.
const LOOKS: u32 = 15_000;

fn command(arguments: &[&str], directory: &Path) -> Command {
    let mut command = Command::new(program::millrace());
    command
        .args(arguments)
        .current_dir(directory)
        .env_remove("MILLRACE_LOG")
        .env_remove("MILLRACE_KEY")
        .env_remove("MILLRACE_RPC")
        .env_remove("MILLRACE_RPC__LISTEN")
        .stdin(Stdio::null());
    command
}

/// What a run says that must be refused: its message alone when it is as it should be, a line after `millrace: ` and
/// status 1. Otherwise everything. `None` when it succeeds. Stands for paths: `{dir}`, `{solo}`, `{millrace}`.
pub fn refusal(arguments: &[&str], directory: &Path) -> Option<String> {
    let (mut stdout, mut stderr) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
    let mut child = command(arguments, directory)
        .stdout(stdout.try_clone().unwrap())
        .stderr(stderr.try_clone().unwrap())
        .spawn()
        .unwrap();
    let Some(status) = end_of(&mut child) else {
        return Some(format!("it hangs; stderr: {}", text_of(&mut stderr)));
    };
    if status == Some(0) {
        return None;
    }
    let (said, printed) = (text_of(&mut stderr), text_of(&mut stdout));
    let named = [
        (program::solo_plugin(), "{solo}"),
        (program::millrace(), "{millrace}"),
        (directory.to_owned(), "{dir}"),
    ]
    .iter()
    .fold(said, |text, (path, name)| {
        text.replace(path.to_str().unwrap(), name)
    });
    let text = named.trim_end();
    Some(
        match (status, text.strip_prefix("millrace: "), printed.as_str()) {
            (Some(1), Some(message), "") => message.to_owned(),
            (Some(status), _, _) => format!("status {status}: {text}"),
            (None, _, _) => format!("killed by a signal: {text}"),
        },
    )
}

/// The status of a process that ends by itself; `None` if it has to be killed. `Some(None)`: ended by a signal.
fn end_of(child: &mut Child) -> Option<Option<i32>> {
    for _ in 0..LOOKS {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status.code());
        }
        thread::sleep(POLL);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    None
}

fn text_of(file: &mut File) -> String {
    let mut text = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut text).unwrap();
    String::from_utf8_lossy(&text).into_owned()
}

/// A development chain that serves RPC. Killed when it is dropped.
pub struct Node {
    child: Child,
    stderr: File,
    /// Address and port.
    pub address: String,
    /// Hash of its genesis header.
    pub genesis: String,
    /// Keys of its funded accounts.
    pub keys: Vec<SecretKey>,
    _directory: TempDir,
}

impl Node {
    /// Starts it on a free port with more arguments, and waits until it serves.
    pub fn start(arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let stderr = tempfile::tempfile().unwrap();
        let dev = [
            "dev",
            "--json",
            "--rpc-listen",
            "127.0.0.1:0",
            "--block-interval-ms",
            "5",
        ];
        let mut child = command(&[&dev, arguments].concat(), directory.path())
            .stdout(Stdio::piped())
            .stderr(stderr.try_clone().unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let mut node = Self {
            child,
            stderr,
            address: String::new(),
            genesis: String::new(),
            keys: Vec::new(),
            _directory: directory,
        };
        let ready: Value =
            serde_json::from_str(&line).unwrap_or_else(|_| panic!("it did not start: {}", node.said()));
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        node.address = text(&ready["rpc"]).replace("http://", "");
        node.genesis = text(&ready["genesis_hash"]);
        let accounts = ready["accounts"].as_array().unwrap();
        node.keys = accounts
            .iter()
            .map(|account| text(&account["secret_key"]).parse().unwrap())
            .collect();
        node
    }

    fn said(&mut self) -> String {
        text_of(&mut self.stderr)
    }

    /// Sends an HTTP request without its `Content-Length` and its empty line; answers status and body.
    pub fn http(&self, head: &str, body: &[u8]) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let head = format!(
            "{head}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
        answer(stream)
    }

    /// Sends only the head of a request that announces a longer body than the server takes.
    pub fn announce(&self, length: u64) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let head = format!(
            "{POST}\r\nHost: {}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n",
            self.address
        );
        stream.write_all(head.as_bytes()).unwrap();
        answer(stream)
    }

    /// Posts a body as JSON.
    pub fn post(&self, body: &[u8]) -> (u16, String) {
        self.http(&format!("{POST}\r\nHost: {}", self.address), body)
    }

    /// Calls a method; the result, or the error in words: code, name, what else is in `data`, message.
    pub fn call(&self, method: &str, params: &Value) -> Result<Value, String> {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let (status, body) = self.post(request.to_string().as_bytes());
        assert_eq!(status, 200, "{body}");
        let mut answer: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(answer["id"], 1, "{body}");
        match answer.get("error") {
            None => Ok(answer["result"].take()),
            Some(error) => Err(shown(error)),
        }
    }

    /// That nothing harmed it: it serves, and no thread of it panicked.
    pub fn assert_well(&self) {
        let (status, body) = self.http(&format!("GET /health HTTP/1.1\r\nHost: {}", self.address), b"");
        assert_eq!((status, body.as_str()), (200, r#"{"status":"ok"}"#));
        let said = text_of(&mut self.stderr.try_clone().unwrap());
        assert!(!said.contains("panicked") && !said.contains("ERROR"), "{said}");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const POST: &str = "POST / HTTP/1.1\r\nContent-Type: application/json";

fn answer(mut stream: TcpStream) -> (u16, String) {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

/// An error object in words: `CODE NAME {other data} MESSAGE`, the data in the order of their names.
pub fn shown(error: &Value) -> String {
    let members: Vec<&String> = error.as_object().unwrap().keys().collect();
    assert_eq!(members.len(), 3, "code, message, data: {error}");
    let data = error["data"].as_object().unwrap();
    let mut details: Vec<String> = data
        .iter()
        .filter(|(name, _)| *name != "name")
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    details.sort();
    format!(
        "{} {} {{{}}} {}",
        error["code"],
        data["name"].as_str().unwrap(),
        details.join(", "),
        error["message"].as_str().unwrap()
    )
}

/// A node that starts when it is first used.
#[derive(Default)]
pub struct LazyNode(OnceCell<Node>);

impl LazyNode {
    /// The node.
    pub fn get(&self) -> &Node {
        self.0.get_or_init(|| Node::start(&[]))
    }
}
