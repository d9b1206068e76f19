//! `millrace light`: ask nodes, believe proofs.
//!
//! [`session`] is what every command shares: whom to trust and ask, the checkpoint, what to say about nodes that were
//! left. [`follow`] goes on as blocks come, [`evidence`] checks what a contradiction left behind.

mod evidence;
mod follow;
mod session;

use std::path::PathBuf;

use millrace_follower::files;
use millrace_light_client::Verified;
use millrace_types::state::code_hash;
use millrace_types::{Address, Hash};
use serde_json::{Value, json};

use self::session::{LightArgs, Session};
use super::contract::Input;
use super::tx::show_output;
use crate::commands::{print_text, run_async};
use crate::failure::{Failure, printable};

/// Verifies headers, state and receipts from nodes that need not be trusted.
#[derive(clap::Subcommand, Debug)]
pub enum LightCommand {
    /// Verifies every header and certificate from genesis, or from a checkpoint on, and shows the two heights.
    Sync {
        /// Trust and nodes.
        #[command(flatten)]
        light: LightArgs,
    },
    /// Verifies one value at the newest settled height.
    Get {
        /// Which.
        #[command(subcommand)]
        what: Question,
    },
    /// Shows finalized and executed heights as they come, until it is interrupted.
    Follow(follow::FollowArgs),
    /// Proof that those who certify blocks contradicted themselves.
    Evidence {
        /// What to do with it.
        #[command(subcommand)]
        command: evidence::EvidenceCommand,
    },
}

/// What can be proven.
#[derive(clap::Subcommand, Debug)]
pub enum Question {
    /// An account's nonce, balance and code hash, or that there is no such account.
    Account {
        /// Its address.
        address: Address,
        /// Trust and nodes.
        #[command(flatten)]
        light: LightArgs,
    },
    /// What a contract stores under a key, or that it stores nothing there.
    Storage {
        /// The contract.
        contract: Address,
        /// The key, hex.
        key: Input,
        /// Trust and nodes.
        #[command(flatten)]
        light: LightArgs,
    },
    /// A contract's code, or that it has none.
    Code {
        /// The contract.
        contract: Address,
        /// Writes the code to this file, as the ELF file that was deployed.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Trust and nodes.
        #[command(flatten)]
        light: LightArgs,
    },
    /// How a transaction ended.
    Transaction {
        /// Its hash.
        hash: Hash,
        /// Trust and nodes.
        #[command(flatten)]
        light: LightArgs,
    },
}

impl LightCommand {
    /// Runs the command.
    ///
    /// # Errors
    /// When no node gives an answer that checks out.
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::Sync { light } => run_async(sync(light)),
            Self::Get { what } => run_async(get(what)),
            Self::Follow(args) => run_async(args.run()),
            Self::Evidence { command } => command.run(),
        }
    }
}

async fn sync(args: LightArgs) -> Result<(), Failure> {
    let mut session = Session::start(args).await?;
    let synced = session.follower.sync().await;
    session.end(synced)?;
    let light = session.follower.light();
    let (finalized, executed) = (light.finalized_height(), light.executed_height());
    let (_, hash) = light.finalized();
    if session.args.json {
        return print_line(&json!({
            "finalized_height": finalized,
            "executed_height": executed,
            "finalized_hash": hash,
            "nodes": session.nodes(),
        }));
    }
    let mut text = format!(
        "verified {} headers and their certificates\nfinalized height  {finalized} ({hash})\nexecuted height   {executed}",
        finalized - session.began
    );
    for node in session.follower.standings() {
        text += &match node.fault {
            None if node.leads => format!("\n{}  agrees, leads", node.url),
            None => format!("\n{}  agrees", node.url),
            Some(fault) => format!("\n{}  left: {fault}", node.url),
        };
    }
    print_line(&printable(&text))
}

fn print_line(line: &dyn std::fmt::Display) -> Result<(), Failure> {
    print_text(&format!("{line}\n"))
}

async fn get(what: Question) -> Result<(), Failure> {
    match what {
        Question::Account { address, light } => {
            let mut session = Session::start(light).await?;
            let verified = session.follower.account(address).await;
            let verified = session.end(verified)?;
            let value = verified.value.map(|account| {
                json!({ "nonce": account.nonce, "balance": account.balance.to_string(), "code_hash": account.code_hash })
            });
            let text = verified.value.map(|account| {
                let code = match account.code_hash {
                    Some(hash) => format!("code {hash}"),
                    None => "no code".to_owned(),
                };
                format!("balance {} nonce {} {code}", account.balance, account.nonce)
            });
            show(&session, &verified, value, text)
        }
        Question::Storage { contract, key, light } => {
            let mut session = Session::start(light).await?;
            let verified = session.follower.storage(contract, key.0).await;
            let verified = session.end(verified)?;
            let value = verified.value.as_ref();
            let value = value.map(|bytes| json!(format!("0x{}", hex::encode(bytes))));
            let text = verified.value.as_ref().map(|bytes| show_output(bytes));
            show(&session, &verified, value, text)
        }
        Question::Code { contract, out, light } => {
            let mut session = Session::start(light).await?;
            let verified = session.follower.code(contract).await;
            let verified = session.end(verified)?;
            if let (Some(path), Some(code)) = (&out, &verified.value) {
                files::write_atomically(path, code)
                    .map_err(|error| Failure::new(format!("light: the code: {error}")))?;
            }
            let code = verified.value.as_ref();
            let value = code.map(|code| json!({ "code_hash": code_hash(code), "bytes": code.len() }));
            let text = code.map(|code| format!("{} bytes of code, hash {}", code.len(), code_hash(code)));
            show(&session, &verified, value, text)
        }
        Question::Transaction { hash, light } => {
            let mut session = Session::start(light).await?;
            let verified = session.follower.transaction(hash).await;
            let verified = session.end(verified)?;
            let receipt = &verified.value;
            let outcome = millrace_rpc::shapes::outcome_name(receipt);
            let value = json!({
                "outcome": outcome,
                "index": receipt.index,
                "gas_used": receipt.gas_used,
                "output": format!("0x{}", hex::encode(&receipt.output)),
                "logs": receipt.logs.len(),
            });
            let text = format!(
                "{outcome}, gas {}, output {}",
                receipt.gas_used,
                show_output(&receipt.output)
            );
            show(&session, &verified, Some(value), Some(text))
        }
    }
}

/// A value with where it holds and who commits to that; `None` is a proven absence.
fn show<T>(
    session: &Session,
    verified: &Verified<T>,
    value: Option<Value>,
    text: Option<String>,
) -> Result<(), Failure> {
    let from = &verified.provenance;
    if session.args.json {
        return print_line(&json!({
            "verified": true,
            "present": value.is_some(),
            "value": value,
            "height": from.height,
            "settled_by": from.settled_by,
            "settling_hash": from.settling_hash,
            "nodes": session.nodes(),
        }));
    }
    let text = text.unwrap_or_else(|| "nothing: its absence is proven".to_owned());
    print_line(&format_args!(
        "{text}\nverified: holds after height {}, settled by the finalized header {} at height {}",
        from.height, from.settling_hash, from.settled_by
    ))
}
