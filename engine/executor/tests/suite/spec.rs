//! Chain specs that this build can and cannot execute, and genesis.

use millrace_executor::gas::schedule;
use millrace_executor::{MAX_CALL_DEPTH, SpecError, check_spec, genesis_changes};
use millrace_types::ChainSpec;
use millrace_types::chain_spec::{GenesisAccount, VersionActivation};
use millrace_types::state::{Account, account_path};

use crate::common::world::{BALANCE, SENDERS, spec};
use crate::common::{World, key};

fn check(change: impl FnOnce(&mut ChainSpec)) -> Result<(), SpecError> {
    let mut spec = spec();
    change(&mut spec);
    check_spec(&spec)
}

#[test]
fn the_development_spec_can_be_executed() {
    assert_eq!(check(|_| ()), Ok(()));
}

#[test]
fn unknown_versions_are_refused_before_they_are_needed() {
    let later = |machine, gas| VersionActivation {
        height: 1_000,
        machine,
        gas,
    };
    let unknown = check(|spec| spec.versions.push(later(2, 1)));
    assert_eq!(
        unknown,
        Err(SpecError::UnknownMachine {
            version: 2,
            height: 1_000
        })
    );
    let unknown = check(|spec| spec.versions.push(later(1, 9)));
    assert_eq!(
        unknown,
        Err(SpecError::UnknownGas {
            version: 9,
            height: 1_000
        })
    );
    assert_eq!(check(|spec| spec.versions.clear()), Err(SpecError::NoVersions));
    assert_eq!(
        check(|spec| spec.versions[0].height = 1),
        Err(SpecError::NoVersions)
    );
}

#[test]
fn limits_outside_their_range_are_named() {
    let name = |change: fn(&mut ChainSpec)| match check(change) {
        Err(SpecError::Limit { name, .. }) => name,
        result => panic!("{result:?}"),
    };
    assert_eq!(name(|spec| spec.limits.block_gas = 0), "block_gas");
    assert_eq!(name(|spec| spec.limits.block_gas = (1 << 62) + 1), "block_gas");
    assert_eq!(
        name(|spec| spec.limits.transaction_gas = spec.limits.block_gas + 1),
        "transaction_gas"
    );
    assert_eq!(name(|spec| spec.limits.min_gas_price = 0), "min_gas_price");
    assert_eq!(name(|spec| spec.limits.call_depth = 0), "call_depth");
    assert_eq!(
        name(|spec| spec.limits.call_depth = MAX_CALL_DEPTH + 1),
        "call_depth"
    );
    assert_eq!(
        name(|spec| spec.limits.transaction_pages = 63),
        "transaction_pages"
    );
    assert_eq!(name(|spec| spec.limits.return_bytes = 0), "return_bytes");
    assert_eq!(name(|spec| spec.limits.log_bytes = 0), "log_bytes");
    assert_eq!(name(|spec| spec.limits.journal_entries = 0), "journal_entries");
    let error = check(|spec| spec.limits.call_depth = 500).unwrap_err();
    assert_eq!(error.to_string(), "limits.call_depth: 500 is outside 1 to 128");
}

#[test]
fn a_block_s_gas_must_not_pay_for_more_writes_than_a_block_may_make() {
    let most = schedule(1).unwrap().most_written_bytes(spec().limits.block_gas);
    assert_eq!(check(|spec| spec.limits.block_write_bytes = most), Ok(()));
    let refused = check(|spec| spec.limits.block_write_bytes = most - 1);
    assert!(matches!(refused, Err(SpecError::BlockWriteBytes { possible, .. }) if possible == most));
}

#[test]
fn supply_stays_below_2_to_the_127() {
    let account = |index, balance| GenesisAccount {
        address: key(index).address(),
        balance,
    };
    let half = 1 << 126;
    assert_eq!(
        check(|spec| spec.accounts = vec![account(0, half), account(1, half - 1)]),
        Ok(())
    );
    assert_eq!(
        check(|spec| spec.accounts = vec![account(0, half), account(1, half)]),
        Err(SpecError::Supply)
    );
    let wraps = check(|spec| spec.accounts = vec![account(0, u128::MAX), account(1, 1)]);
    assert_eq!(wraps, Err(SpecError::Supply));
}

#[test]
fn genesis_holds_the_spec_s_accounts_that_have_a_balance() {
    let mut spec = spec();
    spec.accounts[2].balance = 0;
    let changes = genesis_changes(&spec);
    assert_eq!(changes.len(), usize::from(SENDERS) - 1);
    let first = changes[&account_path(&spec.accounts[0].address)]
        .as_ref()
        .unwrap();
    let expected = Account {
        nonce: 0,
        balance: BALANCE,
        code_hash: None,
    };
    assert_eq!(borsh::from_slice::<Account>(first).unwrap(), expected);
    assert_eq!(
        World::with_spec(spec.clone()).account(&spec.accounts[2].address),
        Account::default()
    );
}
