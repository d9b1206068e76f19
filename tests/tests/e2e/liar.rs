//! A node that lies: a proxy in the test process, which passes every request on to an honest node and may change what
//! that answers.

use std::io::{self, BufReader};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

use crate::http;
use crate::rpc::Rpc;

/// A request and its honest answer.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The method, with its prefix.
    pub method: String,
    /// Its parameters.
    pub params: Value,
    /// The whole honest answer.
    pub answer: Value,
}

/// What makes one answer a lie. Gets the place of the exchange among all since the last [`Liar::tell`], the exchange,
/// and the honest node; answers the bytes to send instead, or `None` to be honest this time.
pub type Lie = Box<dyn FnMut(usize, &Exchange, &mut Rpc) -> Option<Vec<u8>> + Send>;

struct Shared {
    honest: String,
    lie: Mutex<Lie>,
    said: Mutex<Vec<Exchange>>,
}

/// The proxy. It serves until the test process ends.
pub struct Liar {
    /// Its URL.
    pub url: String,
    shared: Arc<Shared>,
}

impl Liar {
    /// Starts a proxy to the node at `honest`, which is honest until told otherwise.
    pub fn new(honest: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            honest: honest.to_owned(),
            lie: Mutex::new(honesty()),
            said: Mutex::new(Vec::new()),
        });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&serving);
                // A client that hangs up ends its thread, nothing else.
                thread::spawn(move || serve(stream, &shared));
            }
        });
        Self { url, shared }
    }

    /// From now on, this lie.
    pub fn tell(&self, lie: Lie) {
        self.shared.said.lock().unwrap().clear();
        *self.shared.lie.lock().unwrap() = lie;
    }

    /// From now on, the truth.
    pub fn be_honest(&self) {
        self.tell(honesty());
    }

    /// The exchanges since the last change of mind, honest answers each.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.shared.said.lock().unwrap().clone()
    }
}

fn honesty() -> Lie {
    Box::new(|_, _, _| None)
}

fn serve(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut honest = Rpc::connect(&shared.honest)?;
    let mut stream = BufReader::new(stream);
    while let Some(request) = http::read(&mut stream)? {
        let request: Value = serde_json::from_slice(&request.body)?;
        let answer = honest.forward(&request)?;
        let exchange = Exchange {
            method: request["method"].as_str().unwrap_or_default().to_owned(),
            params: request["params"].clone(),
            answer,
        };
        let place = {
            let mut said = shared.said.lock().unwrap();
            said.push(exchange.clone());
            said.len() - 1
        };
        let lie = (shared.lie.lock().unwrap())(place, &exchange, &mut honest);
        let body = lie.unwrap_or_else(|| exchange.answer.to_string().into_bytes());
        http::answer(stream.get_mut(), &body)?;
    }
    Ok(())
}
