//! `millrace tx`: sign and send transactions, ask where they are.

use std::time::Duration;

use clap::Args;
use millrace_rpc::MillraceClient as _;
use millrace_rpc::shapes::TransactionReceiptView;
use millrace_types::{Address, Amount, Gas, GasPrice, Hash, Payload};

use super::contract::names::Names;
use super::contract::values::shown;
use crate::client::{Client, Terms, WaitFor, read_key, sign};
use crate::commands::{amount, print_json, run_async};
use crate::failure::{Failure, printable};
use crate::output::outln;

/// Where the node is.
#[derive(Args, Debug, Clone)]
pub struct NodeArgs {
    /// URL of the node's RPC.
    #[arg(long, env = "MILLRACE_RPC", default_value = "http://127.0.0.1:4860")]
    pub rpc: String,
    /// Prints one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// How a transaction is signed and paid for.
#[derive(Args, Debug, Clone)]
pub struct SendArgs {
    /// The sender's key: a key file, or 32 bytes in hex.
    #[arg(long, env = "MILLRACE_KEY", hide_env_values = true)]
    pub key: String,
    /// Most gas that it may use; max(used, half of this) is charged. By default half more than the
    /// smallest limit with which it succeeds now; a fixed amount if it does not succeed now.
    #[arg(long)]
    pub gas_limit: Option<Gas>,
    /// Units per gas.
    #[arg(long, default_value_t = 1)]
    pub gas_price: GasPrice,
    /// Its place among the sender's transactions; by default the next.
    #[arg(long)]
    pub nonce: Option<u64>,
    /// How far it must come before the command ends.
    #[arg(long, value_enum, default_value = "executed")]
    pub wait: WaitFor,
    /// Gives up waiting after this many seconds.
    #[arg(long, default_value_t = 60)]
    pub timeout_s: u64,
}

/// Sends transactions and shows where they are.
#[derive(clap::Subcommand, Debug)]
pub enum TxCommand {
    /// Moves units to an account.
    Transfer {
        /// The receiver.
        #[arg(long)]
        to: Address,
        /// Units.
        #[arg(long, value_parser = amount)]
        value: Amount,
        /// Signing and waiting.
        #[command(flatten)]
        send: SendArgs,
        /// The node.
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Shows where a transaction is.
    Status {
        /// Its hash.
        hash: Hash,
        /// The node.
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Shows a transaction's receipt.
    Receipt {
        /// Its hash.
        hash: Hash,
        /// The node.
        #[command(flatten)]
        node: NodeArgs,
    },
}

/// Gas limit of a plain transfer of which the node has no estimate; its intrinsic gas is well below.
const TRANSFER_GAS: Gas = 100_000;

impl TxCommand {
    /// Runs the command.
    ///
    /// # Errors
    /// When the node refuses or cannot be reached.
    pub fn run(self) -> Result<(), Failure> {
        run_async(async {
            match self {
                Self::Transfer {
                    to,
                    value,
                    send,
                    node,
                } => {
                    let payload = Payload::Transfer { to, value };
                    send_and_show(&send, &node, TRANSFER_GAS, payload, &Names::default()).await
                }
                Self::Status { hash, node } => {
                    let client = Client::new(&node.rpc)?;
                    let status = client
                        .http()
                        .transaction_status(hash)
                        .await
                        .map_err(|e| client.failed(e))?;
                    print_json(&serde_json::to_value(status)?);
                    Ok(())
                }
                Self::Receipt { hash, node } => {
                    let client = Client::new(&node.rpc)?;
                    match receipt(&client, hash).await? {
                        Some(receipt) => show_receipt(&receipt, &Names::default(), node.json),
                        None => Err(Failure::new(format!(
                            "transaction {hash} is not executed at {}; `millrace tx status {hash}` tells where it is",
                            node.rpc
                        ))),
                    }
                }
            }
        })
    }
}

/// Signs `payload`, sends it, waits as asked and shows the receipt, with what `names` makes of it. Ends with an error
/// unless it succeeded.
pub async fn send_and_show(
    send: &SendArgs,
    node: &NodeArgs,
    default_gas: Gas,
    payload: Payload,
    names: &Names,
) -> Result<(), Failure> {
    let client = Client::new(&node.rpc)?;
    let key = read_key(&send.key)?;
    let status = client.status().await?;
    let nonce = match send.nonce {
        Some(nonce) => nonce,
        None => client.pending_nonce(key.address()).await?,
    };
    let gas_limit = match send.gas_limit {
        Some(limit) => limit,
        None => crate::estimate::gas_limit(&client, &key, &payload)
            .await?
            .unwrap_or(default_gas),
    };
    let terms = Terms {
        chain_id: status.chain_id,
        gas_limit,
        gas_price: send.gas_price,
    };
    let hash = client.send(&sign(&key, nonce, terms, payload)).await?;
    if send.wait == WaitFor::Pool {
        if node.json {
            print_json(&serde_json::json!({ "transaction_hash": hash }));
        } else {
            outln!("transaction {hash}");
        }
        return Ok(());
    }
    client
        .wait(hash, send.wait, Duration::from_secs(send.timeout_s))
        .await?;
    let receipt = receipt(&client, hash).await?;
    let receipt =
        receipt.ok_or_else(|| Failure::new(format!("transaction {hash} lost its receipt; ask again")))?;
    show_receipt(&receipt, names, node.json)
}

async fn receipt(client: &Client, hash: Hash) -> Result<Option<TransactionReceiptView>, Failure> {
    Ok(client
        .http()
        .transaction_receipt(hash, None)
        .await
        .map_err(|error| client.failed(error))?)
}

fn show_receipt(receipt: &TransactionReceiptView, names: &Names, as_json: bool) -> Result<(), Failure> {
    let (is_success, output) = (receipt.outcome == "success", &receipt.output.0);
    if as_json {
        let mut value = serde_json::to_value(receipt)?;
        let named = names.as_json(is_success, output, &receipt.logs);
        if let (Some(named), Some(fields)) = (named, value.as_object_mut()) {
            fields.insert("named".to_owned(), named);
        }
        print_json(&value);
    } else {
        outln!("transaction  {}", receipt.transaction_hash);
        outln!("outcome      {}", receipt.outcome);
        outln!(
            "block        {} (height {}, index {})",
            receipt.block_hash,
            receipt.height,
            receipt.index
        );
        outln!(
            "gas          {} used, {} charged",
            receipt.gas_used,
            receipt.gas_charged
        );
        if let Some(contract) = &receipt.created {
            outln!("contract     {contract}");
        }
        match names.output(output).filter(|_| is_success) {
            Some(value) => outln!("output       {}", shown(&value)),
            None if output.is_empty() => {}
            None => outln!("output       {}", show_output(output)),
        }
        for log in &receipt.logs {
            if let Some(event) = names.event(log) {
                outln!("event        {} {event}", log.address);
                continue;
            }
            outln!(
                "log          {} topics {:?} data 0x{}",
                log.address,
                log.topics,
                hex::encode(&log.data.0)
            );
        }
        match receipt.settled_by {
            Some(height) => outln!("settled by   height {height}"),
            None => outln!("settled by   no finalized block yet"),
        }
    }
    if is_success {
        return Ok(());
    }
    let why = names
        .error(output)
        .map(|name| format!(": {name}"))
        .unwrap_or_default();
    Err(Failure::new(format!(
        "the transaction ended as {}{why}; `millrace contract trace {}` shows what it did",
        receipt.outcome, receipt.transaction_hash
    )))
}

/// Output as hex, and as text where it is text.
pub fn show_output(output: &[u8]) -> String {
    let hex = format!("0x{}", hex::encode(output));
    match std::str::from_utf8(output) {
        Ok(text) if !text.is_empty() && text.chars().all(|c| !c.is_control()) && printable(text) == text => {
            format!("{hex} \"{text}\"")
        }
        _ => hex,
    }
}

#[cfg(test)]
mod tests {
    use super::show_output;

    #[test]
    fn output_is_shown_as_text_where_no_terminal_obeys_it() {
        assert_eq!(show_output(b"abc"), "0x616263 \"abc\"");
        assert_eq!(show_output(b"a\x1b"), "0x611b");
        assert_eq!(show_output("\u{202e}a".as_bytes()), "0xe280ae61");
        assert_eq!(show_output(b""), "0x");
    }
}
