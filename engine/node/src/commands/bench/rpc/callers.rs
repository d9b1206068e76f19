//! Callers: each asks one thing after the other on a connection of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jsonrpsee::core::ClientError;
use millrace_rpc::{BlockReference, MillraceClient as _};
use millrace_types::keys::SecretKey;
use millrace_types::{Address, Hash};
use tokio::task::JoinSet;

use super::super::pipeline::clock;
use crate::client::Client;
use crate::failure::Failure;

/// All of them.
pub struct Callers {
    tasks: JoinSet<Result<Vec<Duration>, Failure>>,
    stop: Arc<AtomicBool>,
    began: Duration,
}

/// What came of their calls.
pub struct Called {
    pub calls: u64,
    pub per_second: f64,
    pub median_ms: f64,
    pub ninety_nine_ms: f64,
}

impl Callers {
    /// Starts all of them.
    ///
    /// # Errors
    /// When `url` is none.
    pub fn start(url: &str, count: u32, pause_ms: u64, accounts: &[SecretKey]) -> Result<Self, Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for number in 0..count {
            let (client, stop) = (Client::new(url)?, Arc::clone(&stop));
            let account = accounts[number as usize % accounts.len()].address();
            tasks.spawn(async move {
                let mut took = Vec::new();
                let mut turn = number;
                while !stop.load(Ordering::Relaxed) {
                    let before = clock::now();
                    let answered = ask(&client, turn, account).await;
                    answered.map_err(|error| client.failed(error))?;
                    took.push(clock::now() - before);
                    turn = turn.wrapping_add(1);
                    tokio::time::sleep(Duration::from_millis(pause_ms)).await;
                }
                Ok(took)
            });
        }
        Ok(Self {
            tasks,
            stop,
            began: clock::now(),
        })
    }

    /// Has them end, and sums up.
    ///
    /// # Errors
    /// The first call that was not answered.
    pub async fn stop(mut self) -> Result<Called, Failure> {
        self.stop.store(true, Ordering::Relaxed);
        let seconds = (clock::now() - self.began).as_secs_f64();
        let mut all = Vec::new();
        while let Some(ended) = self.tasks.join_next().await {
            all.extend(ended.map_err(|error| Failure::new(error.to_string()))??);
        }
        all.sort_unstable();
        let at = |part: usize| {
            let took = all.get((all.len() * part / 100).min(all.len().saturating_sub(1)));
            took.map_or(0.0, |took| took.as_secs_f64() * 1_000.0)
        };
        Ok(Called {
            calls: all.len() as u64,
            per_second: all.len() as f64 / seconds,
            median_ms: at(50),
            ninety_nine_ms: at(99),
        })
    }
}

/// What wallets and explorers ask, in turn.
async fn ask(client: &Client, turn: u32, account: Address) -> Result<(), ClientError> {
    let http = client.http();
    let settled = "settled".parse::<BlockReference>().expect("a tag");
    match turn % 6 {
        0 => http.status().await.map(drop),
        1 => http.block(None, None).await.map(drop),
        2 => http.account(account, None, None).await.map(drop),
        3 => http.account(account, Some(settled), Some(true)).await.map(drop),
        4 => http.transaction_status(Hash([turn as u8; 32])).await.map(drop),
        _ => http.execution_receipt(Some(settled)).await.map(drop),
    }
}
