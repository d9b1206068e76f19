//! A browser without a window, driven over its own debugging protocol: what it says and does is asked, never waited for by
//! the clock.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::socket::WebSocket;

const POLL: Duration = Duration::from_millis(50);
/// Polls that something may take: a minute and more, on a machine that others use.
const POLLS: u32 = 1_800;

/// A browser that runs, with a profile of its own that goes with it.
pub struct Browser {
    child: Child,
    _profile: TempDir,
    socket: WebSocket,
    next: u64,
    /// What it told without being asked, by method.
    events: BTreeMap<String, Vec<Value>>,
}

/// A page in it.
pub struct Page<'a> {
    browser: &'a mut Browser,
    session: String,
}

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut files = std::env::split_paths(&path).map(|directory| directory.join("chromium"));
    files.find(|file| file.is_file())
}

impl Browser {
    /// Starts one; `None`, and a line that says so, where there is none.
    pub fn start() -> Option<Self> {
        let Some(program) = program() else {
            eprintln!("skipped: no chromium on PATH; tests/install-tools.sh installs it");
            return None;
        };
        let profile = tempfile::tempdir().unwrap();
        let child = Command::new(program)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
            ])
            .args([
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ])
            .args([
                "--disable-dev-shm-usage",
                "--no-proxy-server",
                "--remote-debugging-port=0",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (port, path) = until("the browser says where it is", || {
            let text = fs::read_to_string(profile.path().join("DevToolsActivePort")).ok()?;
            let (port, path) = text.split_once('\n')?;
            path.starts_with("/devtools/")
                .then(|| (port.to_owned(), path.trim().to_owned()))
        });
        let socket = WebSocket::open_at(&format!("127.0.0.1:{port}"), &path, "").unwrap();
        Some(Self {
            child,
            _profile: profile,
            socket,
            next: 0,
            events: BTreeMap::new(),
        })
    }

    /// Opens a page, and waits until it is there.
    pub fn open(&mut self, url: &str) -> Page<'_> {
        let target = self.call(None, "Target.createTarget", &json!({ "url": "about:blank" }));
        let target = json!({ "targetId": target["targetId"], "flatten": true });
        let session = self.call(None, "Target.attachToTarget", &target)["sessionId"]
            .as_str()
            .unwrap()
            .to_owned();
        let mut page = Page {
            browser: self,
            session,
        };
        for domain in ["Network.enable", "Log.enable", "Page.enable", "Runtime.enable"] {
            page.call(domain, &json!({}));
        }
        page.call("Page.navigate", &json!({ "url": url }));
        page.until(
            "the page is there",
            "document.readyState === 'complete' && location.href !== 'about:blank'",
        );
        page
    }

    fn call(&mut self, session: Option<&str>, method: &str, params: &Value) -> Value {
        self.next += 1;
        let mut call = json!({ "id": self.next, "method": method, "params": params });
        if let Some(session) = session {
            call["sessionId"] = json!(session);
        }
        self.socket.send(&call.to_string());
        loop {
            let mut message = self.socket.read();
            if message["id"] == self.next {
                assert!(message.get("error").is_none(), "{method}: {message}");
                return message["result"].take();
            }
            if let Some(event) = message["method"].as_str() {
                self.events
                    .entry(event.to_owned())
                    .or_default()
                    .push(message["params"].take());
            }
        }
    }
}

impl Page<'_> {
    /// Calls a method of the protocol.
    pub fn call(&mut self, method: &str, params: &Value) -> Value {
        self.browser.call(Some(&self.session), method, params)
    }

    /// The value of an expression in the page.
    pub fn value(&mut self, expression: &str) -> Value {
        let mut result = self.call(
            "Runtime.evaluate",
            &json!({ "expression": expression, "returnByValue": true, "awaitPromise": true }),
        );
        assert!(result.get("exceptionDetails").is_none(), "{expression}: {result}");
        result["result"]["value"].take()
    }

    /// The text of an element.
    pub fn text(&mut self, id: &str) -> String {
        let text = self.value(&format!("document.getElementById('{id}').textContent"));
        text.as_str().unwrap().to_owned()
    }

    /// Waits until an expression is true.
    pub fn until(&mut self, what: &str, expression: &str) {
        until(what, || (self.value(expression) == true).then_some(()));
    }

    /// What it told without being asked.
    pub fn events(&self, method: &str) -> &[Value] {
        self.browser.events.get(method).map_or(&[], Vec::as_slice)
    }
}

/// Waits until there is something.
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..POLLS {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(POLL);
    }
    panic!("in vain: {what}");
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
