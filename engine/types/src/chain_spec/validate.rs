//! What a chain spec must hold, and every way in which one does not.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{ChainSpec, Limits};
use crate::certificate::{LONGEST_CHAIN_CONSENSUS_ID, SOLO_CONSENSUS_ID};
use crate::receipt::EXECUTION_RECEIPT_BYTES;

/// The greatest K. It bounds what a light client keeps and what a body carries.
pub const MAX_RECEIPT_LAG: u64 = 1024;

/// The greatest gas limit of a transaction or block (`docs/spec/gas.md`).
const MAX_GAS: u64 = 1 << 62;
/// Genesis balances, and with them all that will ever exist, stay below this.
const SUPPLY_LIMIT: u128 = 1 << 127;
/// The most bytes of a chain's name and of a consensus id.
const MAX_NAME_BYTES: usize = 64;
/// Bytes of a public key.
const PUBLIC_KEY_BYTES: usize = 32;
/// The most bytes of consensus parameters.
const MAX_PARAMETER_BYTES: usize = 1 << 20;
/// The most activations.
const MAX_VERSIONS: usize = 1024;

/// One value of a chain spec that is not allowed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{key} = {value}: allowed is {allowed}")]
pub struct ChainSpecError {
    /// The value's key, as in the JSON form.
    pub key: String,
    /// The value found.
    pub value: String,
    /// What it may be.
    pub allowed: String,
}

/// All that is wrong with a chain spec; at least one problem.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InvalidChainSpec {
    /// In the order of the spec's keys.
    pub problems: Vec<ChainSpecError>,
}

impl core::error::Error for InvalidChainSpec {}

impl core::fmt::Display for InvalidChainSpec {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("invalid chain spec: ")?;
        for (position, problem) in self.problems.iter().enumerate() {
            write!(f, "{}{problem}", if position == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl ChainSpec {
    /// Checks everything that can be known without the software that runs the chain.
    ///
    /// # Errors
    /// All values that are not allowed, each with its key, itself, and what is.
    pub fn validate(&self) -> Result<(), InvalidChainSpec> {
        let mut problems = Problems(Vec::new());
        problems.len("name", self.name.len(), 1, MAX_NAME_BYTES);
        self.check_accounts(&mut problems);
        problems.range("max_receipt_lag", self.max_receipt_lag, 1, MAX_RECEIPT_LAG);
        problems.range("receipt_age", self.receipt_age, 1, self.max_receipt_lag.max(1));
        self.check_versions(&mut problems);
        self.limits.check(self.max_receipt_lag, &mut problems);
        self.check_consensus(&mut problems);
        if problems.0.is_empty() {
            Ok(())
        } else {
            Err(InvalidChainSpec { problems: problems.0 })
        }
    }

    fn check_accounts(&self, problems: &mut Problems) {
        for (position, pair) in self.accounts.windows(2).enumerate() {
            if pair[0].address >= pair[1].address {
                let key = alloc::format!("accounts[{}].address", position + 1);
                problems.add(&key, pair[1].address, "an address greater than the one before");
            }
        }
        let supply = self
            .accounts
            .iter()
            .try_fold(0_u128, |sum, account| sum.checked_add(account.balance));
        if supply.is_none_or(|supply| supply >= SUPPLY_LIMIT) {
            let value = supply.map_or_else(|| "2^128 or more".into(), |supply| supply.to_string());
            problems.add("accounts: sum of all balances", value, "less than 2^127");
        }
    }

    fn check_versions(&self, problems: &mut Problems) {
        problems.len("versions", self.versions.len(), 1, MAX_VERSIONS);
        if let Some(first) = self.versions.first()
            && first.height != 0
        {
            problems.add("versions[0].height", first.height, "0");
        }
        for (position, pair) in self.versions.windows(2).enumerate() {
            if pair[0].height >= pair[1].height {
                let key = alloc::format!("versions[{}].height", position + 1);
                problems.add(&key, pair[1].height, "a height greater than the one before");
            }
        }
        for (position, version) in self.versions.iter().enumerate() {
            let one = |name| alloc::format!("versions[{position}].{name}");
            problems.range(&one("machine"), version.machine.into(), 1, u16::MAX.into());
            problems.range(&one("gas"), version.gas.into(), 1, u16::MAX.into());
        }
    }

    fn check_consensus(&self, problems: &mut Problems) {
        let id = &self.consensus.id;
        problems.len("consensus.id", id.len(), 1, MAX_NAME_BYTES);
        if !id.bytes().all(|byte| byte.is_ascii_graphic()) {
            problems.add(
                "consensus.id",
                alloc::format!("{id:?}"),
                "visible ASCII without spaces",
            );
        }
        problems.len(
            "consensus.parameters",
            self.consensus.parameters.len(),
            0,
            MAX_PARAMETER_BYTES,
        );
        let signer = match id.as_str() {
            SOLO_CONSENSUS_ID => Some("the sequencer's public key: 32 bytes"),
            LONGEST_CHAIN_CONSENSUS_ID => Some("the finalizer's public key: 32 bytes"),
            _ => None,
        };
        if let Some(allowed) = signer.filter(|_| self.consensus.parameters.len() != PUBLIC_KEY_BYTES) {
            let value = alloc::format!("{} bytes", self.consensus.parameters.len());
            problems.add("consensus.parameters", value, allowed);
        }
    }
}

impl Limits {
    fn check(&self, max_receipt_lag: u64, problems: &mut Problems) {
        problems.range("limits.block_gas", self.block_gas, 1, MAX_GAS);
        let least = self.least_block_bytes(max_receipt_lag);
        problems.range(
            "limits.block_bytes",
            self.block_bytes.into(),
            least,
            u32::MAX.into(),
        );
        problems.range(
            "limits.transaction_gas",
            self.transaction_gas,
            1,
            self.block_gas.clamp(1, MAX_GAS),
        );
        for (key, value) in [
            ("limits.block_transactions", u64::from(self.block_transactions)),
            ("limits.transaction_bytes", self.transaction_bytes.into()),
            ("limits.min_gas_price", self.min_gas_price),
            ("limits.consensus_data_bytes", self.consensus_data_bytes.into()),
            ("limits.seal_bytes", self.seal_bytes.into()),
            ("limits.call_depth", self.call_depth.into()),
            ("limits.transaction_pages", self.transaction_pages.into()),
            ("limits.return_bytes", self.return_bytes.into()),
            ("limits.log_bytes", self.log_bytes.into()),
            ("limits.journal_entries", self.journal_entries.into()),
            ("limits.block_write_bytes", self.block_write_bytes),
            ("limits.timestamp_drift_ms", self.timestamp_drift_ms),
        ] {
            problems.range(key, value, 1, u64::MAX);
        }
    }

    /// Room for the largest header, K receipts, both length prefixes of the body, and the largest transaction:
    /// less, and some valid transaction could never be included.
    fn least_block_bytes(&self, max_receipt_lag: u64) -> u64 {
        let receipts = max_receipt_lag.min(MAX_RECEIPT_LAG) * EXECUTION_RECEIPT_BYTES as u64;
        self.header_bytes() as u64 + receipts + 8 + u64::from(self.transaction_bytes)
    }
}

struct Problems(Vec<ChainSpecError>);

impl Problems {
    fn add(&mut self, key: &str, value: impl ToString, allowed: &str) {
        self.0.push(ChainSpecError {
            key: key.into(),
            value: value.to_string(),
            allowed: allowed.into(),
        });
    }

    fn range(&mut self, key: &str, value: u64, least: u64, greatest: u64) {
        if !(least..=greatest).contains(&value) {
            let allowed = match greatest {
                u64::MAX => alloc::format!("{least} or more"),
                _ => alloc::format!("{least} ..= {greatest}"),
            };
            self.add(key, value, &allowed);
        }
    }

    fn len(&mut self, key: &str, len: usize, least: usize, greatest: usize) {
        if !(least..=greatest).contains(&len) {
            self.add(
                &alloc::format!("length of {key}"),
                len,
                &alloc::format!("{least} ..= {greatest}"),
            );
        }
    }
}
