use millrace_contract::Address;
use millrace_contract::mock::Mock;

use super::hash::dispatch;

const ALICE: Address = Address([0xa1; 32]);

fn run(selector: u8, rounds: u32, seed: [u8; 32]) -> Vec<u8> {
    let mut mock = Mock::new();
    let contract = mock
        .deploy(ALICE, dispatch, 0, &[])
        .expect("the initialiser takes no input");
    let input = [&[selector][..], &rounds.to_le_bytes(), &seed].concat();
    mock.call(ALICE, contract, 0, &input)
        .expect("hashing always succeeds")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn no_rounds_return_the_seed() {
    for selector in 1..=4 {
        assert_eq!(run(selector, 0, [7; 32]), [7; 32]);
    }
}

/// One round over 32 zero bytes, as published by the functions' own tools.
#[test]
fn one_round_is_the_function_itself() {
    let zeros = [0; 32];
    for (selector, expected) in [
        (
            1,
            "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925",
        ),
        (
            2,
            "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925",
        ),
        (
            3,
            "2ada83c1819a5372dae1238fc1ded123c8104fdaa15862aaee69428a1820fcda",
        ),
        (
            4,
            "290decd9548b62a8d60345a988386fc84ba6bc95484008f6362f93160ef3e563",
        ),
    ] {
        assert_eq!(hex(&run(selector, 1, zeros)), expected, "selector {selector}");
    }
}

#[test]
fn guest_and_host_agree_over_many_rounds() {
    assert_eq!(run(1, 1000, [9; 32]), run(2, 1000, [9; 32]));
}
