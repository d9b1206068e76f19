//! `millrace light`: ask a node, believe proofs.

use millrace_light_client::Verified;
use millrace_types::{Address, Hash};
use serde_json::{Value, json};

use super::contract::Input;
use super::tx::{NodeArgs, show_output};
use crate::client::Client;
use crate::commands::{print_json, run_async};
use crate::failure::Failure;
use crate::follower::Follower;

/// What a light client trusts, and whom it asks.
#[derive(clap::Args, Debug, Clone)]
pub struct LightArgs {
    /// Hash of the genesis header: all that is trusted. `millrace dev` and `millrace node` print it.
    #[arg(long, env = "MILLRACE_GENESIS")]
    genesis: Hash,
    /// The node.
    #[command(flatten)]
    node: NodeArgs,
}

/// Verifies headers, state and receipts from a node that need not be trusted.
#[derive(clap::Subcommand, Debug)]
pub enum LightCommand {
    /// Verifies every header and certificate from genesis, and shows the two heights.
    Sync {
        /// Trust and node.
        #[command(flatten)]
        light: LightArgs,
    },
    /// Verifies one value at the newest settled height.
    Get {
        /// Which.
        #[command(subcommand)]
        what: Question,
    },
}

/// What can be proven.
#[derive(clap::Subcommand, Debug)]
pub enum Question {
    /// An account's nonce, balance and code hash, or that there is no such account.
    Account {
        /// Its address.
        address: Address,
        /// Trust and node.
        #[command(flatten)]
        light: LightArgs,
    },
    /// What a contract stores under a key, or that it stores nothing there.
    Storage {
        /// The contract.
        contract: Address,
        /// The key, hex.
        key: Input,
        /// Trust and node.
        #[command(flatten)]
        light: LightArgs,
    },
    /// How a transaction ended.
    Transaction {
        /// Its hash.
        hash: Hash,
        /// Trust and node.
        #[command(flatten)]
        light: LightArgs,
    },
}

impl LightCommand {
    /// Runs the command.
    ///
    /// # Errors
    /// When the node cannot be reached or says what does not check out.
    pub fn run(self) -> Result<(), Failure> {
        run_async(async {
            match self {
                Self::Sync { light } => sync(&light).await,
                Self::Get { what } => get(what).await,
            }
        })
    }
}

async fn start(light: &LightArgs) -> Result<Follower, Failure> {
    Follower::start(Client::new(&light.node.rpc)?, light.genesis).await
}

async fn sync(args: &LightArgs) -> Result<(), Failure> {
    let mut follower = start(args).await?;
    follower.sync().await?;
    let light = follower.light();
    let (finalized, executed) = (light.finalized_height(), light.executed_height());
    let (_, hash) = light.finalized();
    if args.node.json {
        print_json(
            &json!({ "finalized_height": finalized, "executed_height": executed, "finalized_hash": hash }),
        );
    } else {
        println!("verified {finalized} headers and their certificates");
        println!("finalized height  {finalized} ({hash})");
        println!("executed height   {executed}");
    }
    Ok(())
}

async fn get(what: Question) -> Result<(), Failure> {
    match what {
        Question::Account { address, light } => {
            let verified = start(&light).await?.account(address).await?;
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
            show(&light, &verified, value, text);
        }
        Question::Storage { contract, key, light } => {
            let verified = start(&light).await?.storage(contract, key.0).await?;
            let value = verified
                .value
                .as_ref()
                .map(|bytes| json!(format!("0x{}", hex::encode(bytes))));
            let text = verified.value.as_ref().map(|bytes| show_output(bytes));
            show(&light, &verified, value, text);
        }
        Question::Transaction { hash, light } => {
            let verified = start(&light).await?.transaction(hash).await?;
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
            show(&light, &verified, Some(value), Some(text));
        }
    }
    Ok(())
}

/// A value with where it holds and who commits to that; `None` is a proven absence.
fn show<T>(args: &LightArgs, verified: &Verified<T>, value: Option<Value>, text: Option<String>) {
    let from = &verified.provenance;
    if args.node.json {
        print_json(&json!({
            "verified": true,
            "present": value.is_some(),
            "value": value,
            "height": from.height,
            "settled_by": from.settled_by,
            "settling_hash": from.settling_hash,
        }));
        return;
    }
    match text {
        Some(text) => println!("{text}"),
        None => println!("nothing: its absence is proven"),
    }
    println!(
        "verified: holds after height {}, settled by the finalized header {} at height {}",
        from.height, from.settling_hash, from.settled_by
    );
}
