//! A node that lies: a proxy in front of an honest one, which may make anything of every answer.

use std::io::{self, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use millrace_rpc::Bytes;
use millrace_types::{Header, SecretKey, SoloCertificate};
use serde_json::{Value, json};

use crate::http;

/// A request and its honest answer.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The method, without its prefix.
    pub method: String,
    /// Its parameters.
    pub params: Value,
    /// The whole honest answer.
    pub answer: Value,
}

/// What is sent.
#[derive(Clone, Debug)]
pub enum Reply {
    /// The honest answer.
    Honest,
    /// This body.
    Body(Vec<u8>),
    /// This whole answer, whatever it is.
    Raw(Vec<u8>),
    /// These bytes of an answer, and then nothing more on an open connection.
    Stall(Vec<u8>),
}

/// What is made of what a subscription sends.
pub type Distortion = Box<dyn FnMut(&[u8]) -> Vec<u8> + Send>;

/// What is made of an exchange.
pub type Lie = Box<dyn FnMut(&Exchange) -> Reply + Send>;

struct Shared {
    honest: String,
    /// Subscriptions reach the honest node.
    tells: AtomicBool,
    /// Who asks for a WebSocket waits for ever.
    mute: AtomicBool,
    /// How often one was asked for.
    subscriptions: AtomicUsize,
    lie: Mutex<Lie>,
    distortion: Arc<Mutex<Distortion>>,
    said: Mutex<Vec<Exchange>>,
    /// Connections on which nothing comes any more.
    silent: Mutex<Vec<TcpStream>>,
}

/// The proxy. It serves until the test process ends.
pub struct Proxy {
    /// Its URL.
    pub url: String,
    shared: Arc<Shared>,
}

impl Proxy {
    /// In front of the node at `honest`.
    pub fn new(honest: &str, lie: Lie) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            honest: honest.trim_start_matches("http://").to_owned(),
            tells: AtomicBool::new(false),
            mute: AtomicBool::new(false),
            subscriptions: AtomicUsize::new(0),
            lie: Mutex::new(lie),
            distortion: Arc::new(Mutex::new(Box::new(<[u8]>::to_vec))),
            said: Mutex::new(Vec::new()),
            silent: Mutex::new(Vec::new()),
        });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&serving);
                // A client that hangs up ends its thread, nothing else.
                thread::spawn(move || serve(stream, &shared));
            }
        });
        Self {
            url: format!("http://{address}"),
            shared,
        }
    }

    /// From now on, this.
    pub fn tell(&self, lie: Lie) {
        *self.shared.lie.lock().unwrap() = lie;
    }

    /// From now on, subscriptions are the honest node's.
    pub fn let_subscriptions_through(&self) {
        self.shared.tells.store(true, Ordering::Relaxed);
    }

    /// From now on, subscriptions are the honest node's, and this is made of the frames that they send.
    pub fn distort_subscriptions(&self, distortion: Distortion) {
        *self.shared.distortion.lock().unwrap() = distortion;
        self.let_subscriptions_through();
    }

    /// From now on, who wants a subscription gets no answer at all.
    pub fn leave_subscriptions_waiting(&self) {
        self.shared.mute.store(true, Ordering::Relaxed);
    }

    /// How often somebody wanted a subscription.
    pub fn subscriptions(&self) -> usize {
        self.shared.subscriptions.load(Ordering::Relaxed)
    }

    /// The exchanges so far, with their honest answers.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.shared.said.lock().unwrap().clone()
    }
}

/// No lie at all.
pub fn honesty() -> Lie {
    Box::new(|_| Reply::Honest)
}

/// A node that has only the blocks up to a height.
pub fn up_to(height: u64) -> Lie {
    Box::new(move |exchange| {
        if exchange.method != "getHeaders" {
            return Reply::Honest;
        }
        let first = exchange.params[0].as_u64().unwrap();
        let items = exchange.answer["result"].as_array().unwrap();
        let kept = items
            .iter()
            .take((height + 1).saturating_sub(first) as usize)
            .cloned();
        with_result(exchange, Value::Array(kept.collect()))
    })
}

/// A whole answer with this status and body.
pub fn answer(status: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Passes bytes on until one side ends. What the honest node sends comes a frame at a time, since it waits for blocks.
fn splice(stream: &TcpStream, honest: &TcpStream, distortion: Arc<Mutex<Distortion>>) -> io::Result<()> {
    let (mut from, mut to) = (honest.try_clone()?, stream.try_clone()?);
    thread::spawn(move || {
        let mut bytes = vec![0; 1 << 16];
        // Either end may go at any time.
        while let Ok(len @ 1..) = from.read(&mut bytes) {
            let distorted = (distortion.lock().unwrap())(&bytes[..len]);
            if to.write_all(&distorted).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
    io::copy(&mut &*stream, &mut &*honest)?;
    honest.shutdown(Shutdown::Both)
}

fn serve(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let honest = TcpStream::connect(&shared.honest)?;
    honest.set_nodelay(true)?;
    let mut begins = [0; 4];
    stream.peek(&mut begins)?;
    if begins == *b"GET " {
        shared.subscriptions.fetch_add(1, Ordering::Relaxed);
        if shared.tells.load(Ordering::Relaxed) {
            return splice(&stream, &honest, Arc::clone(&shared.distortion));
        }
        if shared.mute.load(Ordering::Relaxed) {
            shared.silent.lock().unwrap().push(stream);
            return Ok(());
        }
    }
    let (mut honest, mut stream) = (BufReader::new(honest), BufReader::new(stream));
    while let Some(request) = http::read(&mut stream)? {
        let Ok(asked) = serde_json::from_slice::<Value>(&request.body) else {
            // Somebody wants a WebSocket, which this node does not have.
            return stream.get_mut().write_all(&answer("404 Not Found", b""));
        };
        http::post(honest.get_mut(), &request.body)?;
        let truth = http::read(&mut honest)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let exchange = {
            let exchange = Exchange {
                method: asked["method"]
                    .as_str()
                    .unwrap_or_default()
                    .replace("millrace_", ""),
                params: asked["params"].clone(),
                answer: serde_json::from_slice(&truth.body)?,
            };
            shared.said.lock().unwrap().push(exchange.clone());
            exchange
        };
        let reply = (shared.lie.lock().unwrap())(&exchange);
        match reply {
            Reply::Honest => stream.get_mut().write_all(&answer("200 OK", &truth.body))?,
            Reply::Body(body) => stream.get_mut().write_all(&answer("200 OK", &body))?,
            Reply::Raw(bytes) => {
                stream.get_mut().write_all(&bytes)?;
                return stream.get_mut().shutdown(Shutdown::Both);
            }
            Reply::Stall(bytes) => {
                stream.get_mut().write_all(&bytes)?;
                shared.silent.lock().unwrap().push(stream.into_inner());
                return Ok(());
            }
        }
    }
    Ok(())
}

/// The answer with another result.
pub fn with_result(exchange: &Exchange, result: Value) -> Reply {
    let mut answer = exchange.answer.clone();
    answer["result"] = result;
    Reply::Body(answer.to_string().into_bytes())
}

/// A header as a node sends it, certified by this key.
pub fn sealed(header: &Header, key: &SecretKey) -> Value {
    let certificate = SoloCertificate::sign(header.chain_id, header.height, header.hash(), key);
    json!({ "header": Bytes::of(header), "certificate": Bytes::of(&certificate) })
}

/// The header in what a node sends.
pub fn header_of(sealed: &Value) -> Header {
    let bytes = serde_json::from_value::<Bytes>(sealed["header"].clone()).unwrap();
    borsh::from_slice(&bytes.0).unwrap()
}

/// An error in place of the answer.
pub fn with_error(exchange: &Exchange) -> Reply {
    let error = json!({ "code": -32603, "message": "this node failed", "data": { "name": "Internal" } });
    let answer = json!({ "jsonrpc": "2.0", "id": exchange.answer["id"], "error": error });
    Reply::Body(answer.to_string().into_bytes())
}
