//! Scripts of host calls for the scripted contract, and what it answers.

use millrace_executor::host::number;
use millrace_types::{Address, Amount, Gas};

use super::guest::{END, INPUT, RESULTS, SCRATCH};

/// Host calls in order. Data goes along and is addressed by pointer.
#[derive(Clone, Default)]
pub struct Script {
    data: Vec<u8>,
    records: Vec<[u64; 7]>,
}

/// Bytes that every answer holds before the scratch memory.
const RESULT_BYTES: u64 = SCRATCH - RESULTS;

impl Script {
    pub fn new() -> Self {
        Self::default()
    }

    /// Places data and gives its address.
    pub fn data(&mut self, bytes: &[u8]) -> u64 {
        self.data.resize(self.data.len().next_multiple_of(8), 0);
        let pointer = INPUT + 16 + self.data.len() as u64;
        self.data.extend(bytes);
        pointer
    }

    /// Host calls so far.
    pub fn calls(&self) -> usize {
        self.records.len()
    }

    /// Performs a host call.
    pub fn host(mut self, number: u64, arguments: &[u64]) -> Self {
        self.push(number, arguments);
        self
    }

    /// Performs a host call.
    pub fn push(&mut self, number: u64, arguments: &[u64]) {
        let mut record = [0; 7];
        record[0] = number;
        record[1..=arguments.len()].copy_from_slice(arguments);
        self.records.push(record);
        assert!(self.records.len() <= 256, "the results have room for 256 calls");
    }

    pub fn storage_set(mut self, key: &[u8], value: &[u8]) -> Self {
        let (k, v) = (self.data(key), self.data(value));
        self.host(number::STORAGE_SET, &[k, key.len() as u64, v, value.len() as u64])
    }

    /// The value goes to scratch memory at `at`, up to `cap` bytes.
    pub fn storage_get(mut self, key: &[u8], at: u64, cap: u64) -> Self {
        let k = self.data(key);
        self.host(number::STORAGE_GET, &[k, key.len() as u64, SCRATCH + at, cap])
    }

    pub fn storage_remove(mut self, key: &[u8]) -> Self {
        let k = self.data(key);
        self.host(number::STORAGE_REMOVE, &[k, key.len() as u64])
    }

    pub fn counter_add(mut self, key: &[u8], amount: Amount) -> Self {
        let (k, a) = (self.data(key), self.data(&amount.to_le_bytes()));
        self.host(number::COUNTER_ADD, &[k, key.len() as u64, a])
    }

    pub fn transient_set(mut self, key: &[u8], value: &[u8]) -> Self {
        let (k, v) = (self.data(key), self.data(value));
        self.host(
            number::TRANSIENT_SET,
            &[k, key.len() as u64, v, value.len() as u64],
        )
    }

    pub fn transient_get(mut self, key: &[u8], at: u64, cap: u64) -> Self {
        let k = self.data(key);
        self.host(number::TRANSIENT_GET, &[k, key.len() as u64, SCRATCH + at, cap])
    }

    pub fn log(mut self, topics: &[[u8; 32]], data: &[u8]) -> Self {
        let (t, d) = (self.data(&topics.concat()), self.data(data));
        self.host(number::LOG, &[t, topics.len() as u64, d, data.len() as u64])
    }

    /// The balance goes to scratch memory at `at`.
    pub fn balance(mut self, address: &Address, at: u64) -> Self {
        let a = self.data(&address.0);
        self.host(number::BALANCE, &[a, SCRATCH + at])
    }

    pub fn transfer(mut self, to: &Address, value: Amount) -> Self {
        let (t, v) = (self.data(&to.0), self.data(&value.to_le_bytes()));
        self.host(number::TRANSFER, &[t, v])
    }

    pub fn call(mut self, to: &Address, value: Amount, gas: Gas, input: &[u8]) -> Self {
        let i = self.data(input);
        let mut request = [&to.0[..], &value.to_le_bytes()].concat();
        for word in [gas, i, input.len() as u64, 0] {
            request.extend(word.to_le_bytes());
        }
        let request = self.data(&request);
        self.host(number::CALL, &[request])
    }

    /// The address goes to scratch memory at `at`.
    pub fn create(mut self, value: Amount, gas: Gas, code: &[u8], input: &[u8], at: u64) -> Self {
        let (c, i) = (self.data(code), self.data(input));
        let mut request = value.to_le_bytes().to_vec();
        for word in [gas, c, code.len() as u64, i, input.len() as u64, 0] {
            request.extend(word.to_le_bytes());
        }
        let request = self.data(&request);
        self.host(number::CREATE, &[request, SCRATCH + at])
    }

    /// Ends by success with all results and `scratch` bytes of scratch memory, as the contract's input.
    pub fn returning(self, scratch: u64) -> Vec<u8> {
        self.host(number::RETURN, &[RESULTS, RESULT_BYTES + scratch])
            .input()
    }

    /// Ends by success without output.
    pub fn finish(self) -> Vec<u8> {
        self.host(number::RETURN, &[0, 0]).input()
    }

    /// Ends by revert with all results and `scratch` bytes of scratch memory.
    pub fn reverting(self, scratch: u64) -> Vec<u8> {
        self.host(number::REVERT, &[RESULTS, RESULT_BYTES + scratch])
            .input()
    }

    /// Ends by a trap.
    pub fn trapping(self) -> Vec<u8> {
        self.input()
    }

    /// The contract's input; without an end of its own the script traps behind its last record.
    pub fn input(mut self) -> Vec<u8> {
        self.data.resize(self.data.len().next_multiple_of(8), 0);
        let offset = 16 + self.data.len() as u64;
        let mut input = offset.to_le_bytes().to_vec();
        input.extend((self.records.len() as u64).to_le_bytes());
        input.extend(&self.data);
        input.extend(self.records.iter().flatten().flat_map(|word| word.to_le_bytes()));
        assert!(
            input.len() as u64 <= RESULTS.min(END) - INPUT,
            "the script fits its place"
        );
        input
    }
}

/// Output of a script that ended by [`Script::returning`] or [`Script::reverting`].
pub struct Answers(pub Vec<u8>);

impl Answers {
    /// a0 and a1 after the `index`-th host call.
    pub fn result(&self, index: usize) -> (u64, u64) {
        let word = |at: usize| u64::from_le_bytes(self.0[at..at + 8].try_into().unwrap());
        (word(16 * index), word(16 * index + 8))
    }

    /// a0 after the `index`-th host call.
    pub fn a0(&self, index: usize) -> u64 {
        self.result(index).0
    }

    /// Scratch memory from `at` on.
    pub fn scratch(&self, at: usize, len: usize) -> &[u8] {
        let start = usize::try_from(RESULT_BYTES).unwrap() + at;
        &self.0[start..start + len]
    }

    /// An amount in scratch memory.
    pub fn amount(&self, at: usize) -> Amount {
        Amount::from_le_bytes(self.scratch(at, 16).try_into().unwrap())
    }
}
