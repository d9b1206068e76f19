//! Every byte of what an honest node answered matters: recorded answers, changed a bit at a time, in process.
//!
//! The same questions as in [`light`](crate::light), thousands of times. One client takes all lies of a kind and the
//! truth in between, so that a refused lie is also shown to leave nothing behind.

use millrace_light_client::verify::Bytes;
use millrace_light_client::{
    AccountAnswer, Certificate, CertifiedHeader, LightClient, ReceiptAnswer, StorageAnswer, Verifiers,
};
use millrace_types::state::Account;
use millrace_types::{Address, Amount, ChainSpec, ExecutionReceipt, Hash, Header, Height, codec};
use serde_json::{Value, json};

use crate::light::{TokenChain, balance_key};
use crate::rpc::{Rpc, from_hex, to_hex};

/// A header and its certificate, as bytes.
type Sealed = (Vec<u8>, Vec<u8>);

/// An answer with something that a proof ties to a root.
struct Answer {
    name: &'static str,
    /// The value's canonical bytes; `None` for an absence.
    value: Option<Vec<u8>>,
    proof: Vec<u8>,
    what: What,
}

/// What an answer is about.
enum What {
    Storage(Address, Vec<u8>),
    Account(Address),
    Receipt(Hash),
}

/// What an honest node said.
struct Recorded {
    genesis: Hash,
    spec: Vec<u8>,
    headers: Vec<Sealed>,
    height: Height,
    settled_by: Height,
    receipts: Vec<u8>,
    answers: Vec<Answer>,
    /// The height of the transaction's block, and what settles it.
    transaction: (Height, Height, Vec<u8>),
}

fn decode<T: borsh::BorshDeserialize>(bytes: &[u8]) -> Option<T> {
    codec::decode(bytes, bytes.len()).ok()
}

fn sealed(headers: &Value) -> Vec<Sealed> {
    let headers = headers.as_array().unwrap().iter();
    headers
        .map(|sealed| (from_hex(&sealed["header"]), from_hex(&sealed["certificate"])))
        .collect()
}

fn certified((header, certificate): &Sealed) -> Option<CertifiedHeader> {
    Some(CertifiedHeader {
        header: decode::<Header>(header)?,
        certificate: Some(Certificate(certificate.clone())),
    })
}

impl Recorded {
    fn of(world: &TokenChain) -> Self {
        let mut rpc = world.chain.rpc();
        let headers = sealed(&rpc.call("getHeaders", json!([1, 256])));
        let newest: Header = decode(&headers.last().unwrap().0).unwrap();
        let height = newest.settled_height;
        let (holder, stranger) = (world.chain.wallets[2].address, Address([0x5a; 32]));
        let hash = rpc.call("getBlock", json!([1]))["transactions"][0].clone();
        let receipt = rpc.call("getTransactionReceipt", json!([hash, true]));
        let place = receipt["height"].as_u64().unwrap();
        let (by, receipts) = settlement(&mut rpc, height);
        let (transaction_by, transaction_receipts) = settlement(&mut rpc, place);
        let answers = vec![
            storage("a balance", &mut rpc, world.token, balance_key(&holder), height),
            storage(
                "the absence of a balance",
                &mut rpc,
                world.token,
                balance_key(&stranger),
                height,
            ),
            account("an account", &mut rpc, holder, height),
            account("a contract", &mut rpc, world.token, height),
            account("the absence of an account", &mut rpc, stranger, height),
            Answer {
                name: "a receipt",
                value: Some(from_hex(&receipt["proof"]["receipt"])),
                proof: from_hex(&receipt["proof"]["inclusion"]),
                what: What::Receipt(serde_json::from_value(hash).unwrap()),
            },
        ];
        Self {
            genesis: world.chain.genesis.parse().unwrap(),
            spec: from_hex(&rpc.call("chainSpec", json!([]))["encoded"]),
            headers,
            height,
            settled_by: by,
            receipts,
            answers,
            transaction: (place, transaction_by, transaction_receipts),
        }
    }

    fn client(&self) -> LightClient {
        let spec = ChainSpec::decode(&self.spec).unwrap();
        LightClient::new(spec, &Verifiers::built_in()).unwrap()
    }

    /// A client with all headers and receipts taken.
    fn synced(&self) -> LightClient {
        let mut client = self.client();
        let headers: Vec<CertifiedHeader> = self
            .headers
            .iter()
            .map(|sealed| certified(sealed).unwrap())
            .collect();
        client.advance(&headers).unwrap();
        let (_, by, receipts) = &self.transaction;
        for (by, receipts) in [(self.settled_by, &self.receipts), (*by, receipts)] {
            client.settle(by, &decode::<Vec<_>>(receipts).unwrap()).unwrap();
        }
        client
    }
}

fn settlement(rpc: &mut Rpc, height: Height) -> (Height, Vec<u8>) {
    let settlement = rpc.call("getSettlement", json!([height]));
    (
        settlement["settled_by"].as_u64().unwrap(),
        from_hex(&settlement["receipts"]),
    )
}

fn storage(name: &'static str, rpc: &mut Rpc, contract: Address, key: Vec<u8>, height: Height) -> Answer {
    let view = rpc.call("getStorage", json!([contract, to_hex(&key), height, true]));
    let value = (!view["value"].is_null()).then(|| from_hex(&view["value"]));
    Answer {
        name,
        value,
        proof: from_hex(&view["proof"]),
        what: What::Storage(contract, key),
    }
}

fn account(name: &'static str, rpc: &mut Rpc, address: Address, height: Height) -> Answer {
    let view = rpc.call("getAccount", json!([address, height, true]));
    let record = (view["exists"] == true).then(|| Account {
        nonce: view["nonce"].as_u64().unwrap(),
        balance: view["balance"].as_str().unwrap().parse::<Amount>().unwrap(),
        code_hash: serde_json::from_value(view["code_hash"].clone()).unwrap(),
    });
    Answer {
        name,
        value: record.as_ref().map(codec::encode),
        proof: from_hex(&view["proof"]),
        what: What::Account(address),
    }
}

/// The value that the client accepts, as canonical bytes; `Err` when it accepts nothing.
fn accepted(
    client: &LightClient,
    recorded: &Recorded,
    what: &What,
    value: Option<&[u8]>,
    proof: &[u8],
) -> Result<Option<Vec<u8>>, ()> {
    match what {
        What::Storage(contract, key) => {
            let answer = StorageAnswer {
                value: value.map(|bytes| Bytes(bytes.to_vec())),
                proof: decode(proof).ok_or(())?,
            };
            let verified = client.verify_storage(recorded.height, contract, key, answer);
            verified.map(|verified| verified.value).map_err(drop)
        }
        What::Account(address) => {
            let record = value
                .map(|bytes| decode::<Account>(bytes).ok_or(()))
                .transpose()?;
            let answer = AccountAnswer {
                account: record,
                proof: decode(proof).ok_or(())?,
            };
            let verified = client
                .verify_account(recorded.height, address, answer)
                .map_err(drop)?;
            Ok(verified.value.as_ref().map(codec::encode))
        }
        What::Receipt(hash) => {
            let answer = ReceiptAnswer {
                receipt: value.and_then(decode).ok_or(())?,
                proof: decode(proof).ok_or(())?,
            };
            let verified = client.verify_transaction_receipt(recorded.transaction.0, hash, answer);
            verified
                .map(|verified| Some(codec::encode(&verified.value)))
                .map_err(drop)
        }
    }
}

/// All ways to change a byte string a little: every bit flipped, every shorter one, a byte more.
fn altered(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    let flipped = (0..bytes.len() * 8).map(|bit| {
        let mut copy = bytes.to_vec();
        copy[bit / 8] ^= 1 << (bit % 8);
        copy
    });
    let cut = (0..bytes.len()).map(|length| bytes[..length].to_vec());
    flipped.chain(cut).chain([[bytes, &[0]].concat()])
}

fn no_answer_can_be_changed(recorded: &Recorded) -> u64 {
    let client = recorded.synced();
    let mut lies = 0;
    for answer in &recorded.answers {
        let honest = |client: &LightClient| {
            let accepted = accepted(
                client,
                recorded,
                &answer.what,
                answer.value.as_deref(),
                &answer.proof,
            );
            assert_eq!(accepted, Ok(answer.value.clone()), "{}", answer.name);
        };
        let mut tell = |value: Option<&[u8]>, proof: &[u8]| {
            let accepted = accepted(&client, recorded, &answer.what, value, proof);
            assert_eq!(accepted, Err(()), "{} with another value or proof", answer.name);
            lies += 1;
        };
        honest(&client);
        for proof in altered(&answer.proof) {
            tell(answer.value.as_deref(), &proof);
        }
        match &answer.value {
            Some(value) => {
                altered(value).for_each(|value| tell(Some(&value), &answer.proof));
                tell(None, &answer.proof);
            }
            None => [&[][..], &[0], &[0; 16], &codec::encode(&Account::default())]
                .iter()
                .for_each(|value| tell(Some(value), &answer.proof)),
        }
        for other in &recorded.answers {
            if other.name != answer.name {
                tell(other.value.as_deref(), &other.proof);
                tell(answer.value.as_deref(), &other.proof);
            }
        }
        honest(&client);
    }
    lies
}

fn no_header_can_be_changed(recorded: &Recorded) -> u64 {
    let mut client = recorded.client();
    let mut lies = 0;
    for (at, (header, certificate)) in recorded.headers.iter().enumerate() {
        let before = client.finalized_height();
        let mut tell = |client: &mut LightClient, lie: Sealed| {
            if let Some(entry) = certified(&lie) {
                // What is final already may be repeated, under any certificate: nothing comes of it.
                let is_new = entry.header.height > before;
                assert!(client.advance(&[entry]).is_err() || !is_new);
                assert_eq!(client.finalized_height(), before);
            }
            lies += 1;
        };
        // Certificates of other heights, headers under them, and headers in another order.
        for other in &recorded.headers {
            if other.0 != *header {
                tell(&mut client, (header.clone(), other.1.clone()));
                tell(&mut client, (other.0.clone(), certificate.clone()));
            }
        }
        for later in recorded.headers.iter().skip(at + 1) {
            tell(&mut client, later.clone());
        }
        for header in altered(header) {
            tell(&mut client, (header, certificate.clone()));
        }
        for certificate in altered(certificate) {
            tell(&mut client, (header.clone(), certificate));
        }
        let honest = certified(&(header.clone(), certificate.clone())).unwrap();
        client.advance(&[honest]).unwrap();
        assert_eq!(
            client.finalized_height(),
            before + 1,
            "the truth still gets through"
        );
    }
    lies
}

fn no_settlement_can_be_changed(recorded: &Recorded) -> u64 {
    let mut client = recorded.client();
    let headers: Vec<CertifiedHeader> = recorded
        .headers
        .iter()
        .map(|sealed| certified(sealed).unwrap())
        .collect();
    client.advance(&headers).unwrap();
    let (_, other_by, other) = &recorded.transaction;
    let mut lies = 0;
    let mut tell = |client: &mut LightClient, by: Height, receipts: &[u8]| {
        if let Some(receipts) = decode::<Vec<ExecutionReceipt>>(receipts) {
            client.settle(by, &receipts).unwrap_err();
        }
        lies += 1;
    };
    for receipts in altered(&recorded.receipts) {
        tell(&mut client, recorded.settled_by, &receipts);
    }
    assert_ne!(recorded.settled_by, *other_by, "two settlements to mix up");
    tell(&mut client, recorded.settled_by, other);
    tell(&mut client, *other_by, &recorded.receipts);
    let own: Vec<ExecutionReceipt> = decode(&recorded.receipts).unwrap();
    let twice = [own.clone(), own.clone()].concat();
    tell(&mut client, recorded.settled_by, &codec::encode(&twice));
    client.receipt(recorded.height).unwrap_err();
    client.settle(recorded.settled_by, &own).unwrap();
    client.receipt(recorded.height).unwrap();
    lies
}

fn no_chain_spec_can_be_changed(recorded: &Recorded) -> u64 {
    let mut lies = 0;
    for spec in altered(&recorded.spec) {
        lies += 1;
        let Ok(spec) = ChainSpec::decode(&spec) else {
            continue;
        };
        if let Ok(client) = LightClient::new(spec, &Verifiers::built_in()) {
            assert_ne!(
                client.genesis_hash(),
                recorded.genesis,
                "another spec, another genesis"
            );
        }
    }
    assert_eq!(recorded.client().genesis_hash(), recorded.genesis);
    lies
}

fn every_bit_matters(commitment: &str) {
    let recorded = Recorded::of(&TokenChain::start(commitment));
    let lies = [
        no_chain_spec_can_be_changed(&recorded),
        no_header_can_be_changed(&recorded),
        no_settlement_can_be_changed(&recorded),
        no_answer_can_be_changed(&recorded),
    ];
    println!("option {commitment}: {lies:?} lies about spec, headers, settlement and answers; none accepted");
}

#[test]
fn every_bit_of_an_honest_nodes_answers_matters_under_option_b() {
    every_bit_matters("b");
}

#[test]
fn every_bit_of_an_honest_nodes_answers_matters_under_option_a() {
    every_bit_matters("a");
}
